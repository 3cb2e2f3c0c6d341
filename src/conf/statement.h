/*
 * statement: one setting in the text of a configuration, NAME = VALUE.
 *
 * A text is taken apart into statements before it is read, so that an error
 * in one does not hide those of the next, and each has its right line.  The
 * text has no comments any more, see comments.h.  Any thread.
 */
#ifndef ECHOD_STATEMENT_H
#define ECHOD_STATEMENT_H

#include <stddef.h>

#define STATEMENT_WHY 512

/*
 * The size of the statement with which a text begins.  It ends with its line;
 * only a list in braces goes on, up to a line on which the next one begins.
 */
size_t statement_size(const char *text);

/*
 * Returns 0 if a statement has the form of an assignment to an option; else
 * -EINVAL, and why says what is wrong and what was meant.  Whether the value
 * is allowed is not looked at.
 */
int statement_check(const char *statement, char why[static STATEMENT_WHY]);

#endif
