/* SPDX-License-Identifier: MIT */
/*
 * signals: those that end echoc, or ask it something, as events of its loop.
 *
 * Main thread; signals_open() before the others start, signals_close() after their end.
 */
#ifndef ECHOC_SIGNALS_H
#define ECHOC_SIGNALS_H

#include <stdbool.h>

/*
 * Blocks those of the signals, whose list ends with 0, that are not ignored: what
 * nohup(1) or a shell has us ignore stays ignored.  Returns a non-blocking descriptor
 * to wait for them, or -errno.
 */
int signals_open(const int *numbers);

/* The next one that has come, or 0. */
int signals_next(int fd);

/*
 * Waits until something can be written to a descriptor at once: a page to a pipe, a line
 * to a terminal.  False if a signal comes first: then nothing should be written.
 */
bool signals_await_room(int fd, int out);

/*
 * Forgets those that have come since, closes the descriptor, and lets others end us as
 * before.  False, after a complaint, if standard output would block, after a signal has
 * asked for an end.
 */
bool signals_close(int fd);

#endif
