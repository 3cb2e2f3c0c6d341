/*
 * comments: prepares a configuration for libconfuse, whose scanner has faults.
 *
 * libconfuse 3.3 counts each "#" or "//" comment as three lines, so the line in
 * its messages is wrong after the first one; it takes the end of the text
 * inside a comment or a string for a good end, swallowing what came before;
 * and it passes over characters that mean nothing to it without a word.
 *
 * All texts end with '\0'.  Pure functions: any thread.
 */
#ifndef ECHOD_COMMENTS_H
#define ECHOD_COMMENTS_H

/*
 * Overwrites comments with blanks, and keeps their newlines.  Returns 0, or
 * the number of the line on which a comment begins that does not end.
 */
int comments_blank(char *text);

/*
 * From the quote with which a text begins to behind its twin, or to the end of
 * the line, where every quoted value ends; a backslash takes the next byte
 * with it.
 */
const char *comments_skip_quoted(const char *text);

/*
 * For a text without comments: what stands there that libconfuse would pass
 * over or take otherwise than a person, and in *line on which line from 1:
 * quotes that are not closed on their line, a "*" or "+" outside of quotes, a
 * numeric escape in quotes (NUL would end the value), or a "${" that is not
 * closed on its line and outside of quotes.  NULL if there is none.
 */
const char *comments_find_stray(const char *text, int *line);

#endif
