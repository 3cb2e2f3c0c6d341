/*
 * listeners: the set of listeners that a configuration names.
 *
 * Main thread only.
 */
#ifndef ECHOD_LISTENERS_H
#define ECHOD_LISTENERS_H

#include <stdbool.h>

#include "listener.h"
#include "settings.h"

struct listeners {
	struct listener at[CONF_LISTEN_MAX];
	size_t n;
};

/*
 * Makes *set what conf names: listeners that are in *old stay as they are, the
 * others are opened.  An IPv6 address is left out on a kernel without IPv6, as
 * long as another one remains.
 *
 * Returns 0, or -errno with the address in *failed; then nothing is open that
 * was not before.  *old is not changed: what is only in it is the caller's to
 * close.
 */
int listeners_open(struct listeners *set, const struct listeners *old, const struct conf *conf,
		   struct address *failed);

/* Closes those that are in set and not in kept (which may be NULL). */
void listeners_close(const struct listeners *set, const struct listeners *kept);

/* True if one of them was opened for this address. */
bool listeners_contain(const struct listeners *set, const struct address *address);

#endif
