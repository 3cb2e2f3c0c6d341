/*
 * listener: a listening socket and the options that its connections inherit.
 *
 * Linux copies a listener's socket options to every connection that it
 * accepts, so they cost no system call for each connection.
 *
 * Any thread; nothing is shared.
 */
#ifndef ECHOD_LISTENER_H
#define ECHOD_LISTENER_H

#include "base/address.h"

struct conf;

struct listener {
	struct address address; /* as configured: its port may be 0, its zone a name */
	struct address bound;	/* where it really is, with its port; no zone but its number */
	int fd;			/* -1: it failed, and is to be opened again */
	int stored;		/* its number in the file descriptor store, see fdstore.h; or -1 */
};

/*
 * Binds and listens.  Returns 0, with an fd that is the caller's to close; or
 * -errno of what failed (bind(2), listen(2)), with nothing to close.  -ENODEV:
 * there is no such interface, now.
 */
int listener_open(struct listener *listener, const struct address *address,
		  const struct conf *conf);

/*
 * Opens another one in the place of a listener that failed: with its address
 * as configured, and with the port that it had.  As listener_open().
 */
int listener_open_again(struct listener *listener, const struct listener *failed,
			const struct conf *conf);

/* Takes a listening socket that others have made; 0, or -errno of getsockname(2). */
int listener_take(struct listener *listener, int fd);

/*
 * Sets the configured socket options, and those on which the echo relies,
 * whoever made the socket, for connections from now on.  0 or -errno.
 */
int listener_configure(const struct listener *listener, const struct conf *conf);

/*
 * Gives the sizes of buffers back to the kernel that were configured once and
 * are not any more (Linux 5.14; before that, they stay).
 */
void listener_release_buffers(const struct listener *listener, const struct conf *conf);

/*
 * True if it listens.  A listener that anyone who has the socket has shut down,
 * or that was destroyed from elsewhere (ss -K), does not, and never will.  True
 * as well if the kernel does not say, for to open another one drops its queue.
 */
bool listener_is_alive(const struct listener *listener);

/* Why a socket that we made at another time is not what we would make now; or NULL. */
const char *listener_differs(int fd);

/* How many connections its queue may hold, after all limits of the kernel; or -errno. */
int listener_queue(const struct listener *listener);

#endif
