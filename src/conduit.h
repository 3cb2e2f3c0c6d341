/*
 * conduit: a pipe by which the bytes of a stream go from a socket back into it
 * without being copied, see splice(2).
 *
 * One belongs to one worker and serves all of its connections in turn; it is
 * empty between two turns.  Only that worker touches it.
 */
#ifndef ECHOD_CONDUIT_H
#define ECHOD_CONDUIT_H

#include <stddef.h>
#include <sys/types.h>

struct conduit {
	int in, out; /* the ends of the pipe */
	size_t room; /* bytes that it takes at once; 0: there is no pipe */
};

/* Makes the pipe.  Without one there is no room, and streams are copied. */
void conduit_init(struct conduit *p);

/* May be called twice, and without conduit_init() on one that is all 0. */
void conduit_deinit(struct conduit *p);

/*
 * Fills it with what fd has received.  Returns how much, or -1 with errno.  0,
 * EAGAIN and ENOMEM say only that recv(2) must be asked: splice(2) stops at an
 * urgent mark as if there were nothing behind it.
 */
ssize_t conduit_fill(const struct conduit *p, int fd);

/* Sends up to size of the bytes in it.  Returns how much, or -1 with errno. */
ssize_t conduit_send(const struct conduit *p, int fd, size_t size);

/* Takes out size bytes, which are in it.  0, or -EIO, and then there is no pipe any more. */
int conduit_take(struct conduit *p, unsigned char *data, size_t size);

#endif
