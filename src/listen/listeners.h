/*
 * listeners: the set of listeners that a configuration names.
 *
 * Main thread only.
 */
#ifndef ECHOD_LISTENERS_H
#define ECHOD_LISTENERS_H

#include <stdbool.h>

#include "conf/settings.h"
#include "listen/listener.h"

struct listeners {
	struct listener at[CONF_LISTEN_MAX];
	size_t n;
};

/*
 * Makes *set what conf names: listeners in *old that are still good stay as
 * they are, the others are opened.  An IPv6 address is left out on a kernel
 * without IPv6, as long as another one remains.  An address in *old whose
 * listener has failed, and cannot be opened now either, gets an fd of -1.
 *
 * Returns 0, or -errno with the address in *failed; then nothing is open that
 * was not before.  *old is not changed: what is only in it is the caller's to
 * close.
 */
int listeners_open(struct listeners *set, const struct listeners *old, const struct conf *conf,
		   struct address *failed);

/*
 * Takes out of *stored what conf does not name, into *rest.  Those that remain
 * have the addresses as conf has them, each once.
 */
void listeners_claim(struct listeners *stored, const struct conf *conf, struct listeners *rest);

/* Closes those that are in set and not in kept (which may be NULL). */
void listeners_close(const struct listeners *set, const struct listeners *kept);

/* True if this very socket is in the set. */
bool listeners_contain(const struct listeners *set, const struct listener *listener);

/* The one for this address as configured, or NULL. */
const struct listener *listeners_find(const struct listeners *set, const struct address *address);

#endif
