/* SPDX-License-Identifier: MIT */
/*
 * writer: writes lines to stderr, so that no thread waits for their reader.
 *
 * There is one.  writer_open() and writer_start() are main's; any thread, also a signal
 * handler, may call the others.
 */
#ifndef ECHOD_WRITER_H
#define ECHOD_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Prepares for a stderr of that mode, see fstat(2).  Returns how many bytes a line can
 * have, at most `size`.  Without it lines are written with write(2), which may wait.
 */
size_t writer_open(mode_t mode, size_t size);

/* Writes a line; false if it is lost, as stderr takes no more. */
bool writer_write(const char *line, size_t size);

/*
 * If stderr needs a thread, starts it, which first calls begin(); until then lines are
 * kept.  0 or -errno.
 */
int writer_start(void (*begin)(void));

/* Waits until all lines are written, but not longer than half a second. */
void writer_flush(void);

/* How many lines the thread could not write since the last call. */
unsigned long writer_lost(void);

#endif
