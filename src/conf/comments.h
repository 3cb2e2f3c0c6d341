/*
 * comments: prepares a configuration for libconfuse, whose scanner has faults.
 *
 * libconfuse 3.3 counts each "#" or "//" comment as three lines, so the line in
 * its messages is wrong after the first one; it takes the end of the text
 * inside a comment or a string for a good end, swallowing what came before;
 * and it passes over characters that mean nothing to it without a word.
 *
 * All texts end with '\0'.  Any thread, while nobody changes the environment.
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

#define COMMENTS_WHY 160

/*
 * For a text without comments: what stands there that libconfuse would pass
 * over or take otherwise than a person: quotes that are not closed on their
 * line, a "*" or "+" outside of quotes, a numeric escape in quotes (NUL would
 * end the value), a "${" that is not closed on its line and outside of quotes,
 * or one of a variable that is not set.  Returns its line, from 1, and why says
 * what it is; 0 if there is none.
 */
int comments_find_stray(const char *text, char why[static COMMENTS_WHY]);

#endif
