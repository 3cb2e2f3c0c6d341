/*
 * comments: prepares a configuration for libconfuse, whose scanner has faults.
 *
 * libconfuse 3.3 counts each "#" or "//" comment as three lines, so the line in
 * its messages is wrong after the first one; it takes the end of the text
 * inside a comment or a string for a good end, swallowing what came before;
 * and it passes over characters that mean nothing to it without a word.
 *
 * Pure functions: any thread.
 */
#ifndef ECHOD_COMMENTS_H
#define ECHOD_COMMENTS_H

#include <stddef.h>

/*
 * Overwrites comments with blanks, and keeps their newlines.  Returns 0, or
 * the number of the line on which a string or a comment begins that does not
 * end.
 */
int comments_blank(char *text, size_t size);

/*
 * For a text without comments: the number of the line on which something
 * stands that libconfuse would pass over or take otherwise than a person: a
 * "*" or "+" outside a string, a numeric escape in a string (NUL would end
 * it), or a "${" that is not closed on its line and outside quotes.  0 if
 * there is none.
 */
int comments_find_stray(const char *text, size_t size);

#endif
