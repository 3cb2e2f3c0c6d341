/*
 * comments: takes the comments out of a configuration, before libconfuse sees
 * them.
 *
 * libconfuse 3.3 counts each "#" or "//" comment as three lines, so the line in
 * its messages is wrong after the first one; and it takes the end of the text
 * inside a comment or a string for a good end, swallowing what came before.
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

#endif
