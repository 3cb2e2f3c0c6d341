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

#include "address.h"

struct conf;

struct listener {
	struct address address; /* as configured: its port may be 0 */
	int fd;
};

/*
 * Binds and listens.  Returns 0, with an fd that is the caller's to close; or
 * -errno of what failed (bind(2), listen(2)), with nothing to close.
 */
int listener_open(struct listener *listener, const struct address *address,
		  const struct conf *conf);

/* Sets the configured socket options, for connections from now on.  0 or -errno. */
int listener_configure(const struct listener *listener, const struct conf *conf);

/* The address that it is really bound to, with its port. */
void listener_address(const struct listener *listener, struct address *address);

/* How many connections its queue may hold, after all limits of the kernel; or -errno. */
int listener_queue(const struct listener *listener);

#endif
