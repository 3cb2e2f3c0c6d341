/*
 * writer: writes to a descriptor that may block, so that no other thread waits.
 *
 * A file on a server that is gone, or another user's terminal that nobody reads,
 * blocks write(2), and there is no way to ask before.  So lines go into a pipe of
 * our own, which never blocks, and one thread copies them from there.  While it
 * is blocked, the pipe fills, and further lines are lost.
 *
 * There is one writer.  writer_open() and writer_start() are main's; any thread,
 * also a signal handler, may write to the pipe and call the others.
 */
#ifndef ECHOD_WRITER_H
#define ECHOD_WRITER_H

/*
 * Makes the pipe, whose lines are to be written to the descriptor `to`.  Returns
 * its end to write to, which does not block, for lines of up to PIPE_BUF bytes;
 * or -errno.
 */
int writer_open(int to);

/*
 * Starts the thread, which first calls begin(); does nothing if there is no
 * pipe.  Until then lines stay in the pipe.  0 or -errno.
 */
int writer_start(void (*begin)(void));

/* Waits until all lines are written, but not longer than half a second. */
void writer_flush(void);

/* How many lines write(2) refused since the last call. */
unsigned long writer_lost(void);

#endif
