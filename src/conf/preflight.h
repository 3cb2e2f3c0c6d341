/* SPDX-License-Identifier: MIT */
/*
 * preflight: looks at the text of a configuration before libconfuse reads it.
 *
 * libconfuse 3.3 stops at the first error, and does not say what is allowed. It
 * counts each "#" or "//" comment as three lines, so the line in its messages is
 * wrong after the first one; it takes the end of the text inside a comment or a
 * string for a good end, swallowing what came before; and it passes over
 * characters that mean nothing to it.  So comments are blanked, the text is cut
 * into statements (NAME = VALUE), and libconfuse gets only those whose form is
 * right.  Whether a value is allowed is not looked at.
 *
 * All texts end with '\0'.  Any thread, while none changes the environment.
 */
#ifndef ECHOD_PREFLIGHT_H
#define ECHOD_PREFLIGHT_H

#include <stddef.h>

#include "conf/problems.h"

/*
 * Overwrites comments with blanks, and keeps their newlines.  Returns 0, or the
 * number of the line on which a comment begins that does not end.
 */
int preflight_blank_comments(char *text);

/*
 * The size of the statement with which a text without comments begins.  It ends
 * with its line; only a list in braces goes on over lines, up to its end or a
 * line on which another statement begins.
 */
size_t preflight_size(const char *text);

/*
 * 0 if a statement assigns one value, or one list, to an option.  Else -EINVAL
 * and a problem, counted from the line in problems, that says what was probably
 * meant.
 */
int preflight_check(const char *statement, struct problems *problems);

#endif
