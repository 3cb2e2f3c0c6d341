/* SPDX-License-Identifier: MIT */
/*
 * pipe: a pipe by which the bytes of a stream go from a socket back into it
 * without being copied, see splice(2).
 *
 * One belongs to one worker and serves all of its connections, one by one; it is
 * empty between two turns.  Only that worker touches it.
 *
 * It is an optimisation.  Where a sandbox or a kernel refuses splice(2) as such,
 * the pipe is closed for good, and streams are copied.
 */
#ifndef ECHOD_PIPE_H
#define ECHOD_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A pipe that takes less than this at once is not worth its system calls. */
#define PIPE_LEAST ((size_t)64 * 1024)

struct pipe {
	int in, out;  /* the ends of the pipe */
	size_t room;  /* bytes that it takes at once; 0: there is no pipe */
	bool refused; /* splice(2) was refused, which is logged */
};

/* Makes the pipe.  Without one there is no room, and streams are copied. */
void pipe_init(struct pipe *p);

/* May be called twice, and without pipe_init() on one that is all 0. */
void pipe_deinit(struct pipe *p);

/*
 * Fills it with what fd has received.  Returns how much, or -1 with errno.  0,
 * EAGAIN and ENOMEM say only that recv(2) must be asked: splice(2) stops at an
 * urgent mark as if there were nothing behind it.  If splice(2) is refused, there
 * is no pipe any more.
 */
ssize_t pipe_fill(struct pipe *p, int fd);

/*
 * Sends up to size of the bytes in it.  Returns how much, or -1 with errno.  If
 * `refused` is set then, the bytes must be taken out, and pipe_deinit() be called.
 */
ssize_t pipe_send(struct pipe *p, int fd, size_t size);

/* Takes out size bytes, which are in it.  0, or -EIO, and then there is no pipe any more. */
int pipe_take(struct pipe *p, unsigned char *data, size_t size);

#endif
