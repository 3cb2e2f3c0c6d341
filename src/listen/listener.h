/* SPDX-License-Identifier: MIT */
/*
 * listener: a listening socket and the options that its connections inherit,
 * and the set of all that are served.
 *
 * Linux copies a listener's socket options to each connection that it accepts,
 * so they cost no system call per connection.
 *
 * Any thread; nothing is shared.
 */
#ifndef ECHOD_LISTENER_H
#define ECHOD_LISTENER_H

#include "base/address.h"
#include "conf/option.h"

struct listener {
	struct address address; /* as configured: the port may be 0, the zone a name */
	struct address bound;	/* where it is, with its port; a zone is a number only */
	int fd;			/* -1: it failed */
	const char *opened;	/* for listen.c: to be logged when it is in force; or NULL */
};

struct listeners {
	struct listener at[CONF_LISTEN_MAX];
	size_t n;
	bool passed;	       /* by a socket unit, which alone can open them again */
	int64_t due;	       /* ms: listen_repair() is; INT64_MAX: nothing has failed */
	int64_t failed, delay; /* for listen.c, ms: of the last failure, and until it is due then */
};

/*
 * Binds to the address, with this port in place of its own, and listens.
 * Returns 0, with an fd that is the caller's to close; or -errno of what failed
 * (bind(2), listen(2)), with nothing to close.  -ENODEV: the interface does not
 * exist now.
 */
int listener_open(struct listener *listener, const struct address *address, unsigned port,
		  const struct conf *conf);

/*
 * Takes a socket that another process made, and makes it non-blocking.  NULL, or
 * why echod cannot listen on it; a stored one, which a predecessor opened, must
 * also be what would be opened now.
 */
const char *listener_take(struct listener *listener, int fd, bool stored);

/*
 * Sets the configured socket options, and those on which the echo relies, for
 * connections from now on.  0 or -errno.
 */
int listener_configure(const struct listener *listener, const struct conf *conf);

/*
 * Has the kernel size those buffers again whose size was configured once and is
 * not any more (Linux 5.14; before that, they keep it).
 */
void listener_release_buffers(const struct listener *listener, const struct conf *conf);

/*
 * False if its fd is -1, or if it was shut down by any process that has the socket, or destroyed
 * from elsewhere (ss -K); it never listens again.  True as well if the kernel
 * does not say, because opening another one drops its queue.
 */
bool listener_is_alive(const struct listener *listener);

/* How many connections its queue can hold, within all limits of the kernel; or -errno. */
int listener_queue(const struct listener *listener);

#endif
