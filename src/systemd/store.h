/*
 * store: descriptors that the service manager keeps for us over a restart
 * (FileDescriptorStoreMax=, sd_notify(3)).
 *
 * Names say what a descriptor is; they all begin with STORE_PREFIX, so that
 * they are told from those of socket units.  The manager holds the same open
 * file description: close(2) neither ends a stored socket nor takes it out of
 * an epoll instance.
 *
 * Without a manager, or without a store, these do nothing, and nobody says so
 * (systemd 252 has no word for it); what is asked is in manager.h.
 * A manager that does not read is waited for, but not long, see notify.h.
 * Main, or the thread of rescue.h.
 */
#ifndef ECHOD_STORE_H
#define ECHOD_STORE_H

#include <stddef.h>

#define STORE_PREFIX "stored."
#define STORE_LISTENER STORE_PREFIX "listener." /* with a number from 0 on */
#define STORE_CARRIER STORE_PREFIX "carrier."	/* with a number from 0 on */
#define STORE_STATE STORE_PREFIX "state"

/* Has the manager keep fd under that name, whatever becomes of it.  0 or -errno. */
int store_add(const char *name, int fd);

/* Has the manager close all of that name. */
void store_remove(const char *name);

/* Waits until the manager has done all that; at most five seconds. */
void store_barrier(void);

/* The i-th carrier, see carrier.h.  0 or -errno. */
int store_add_carrier(size_t i, int fd);
void store_remove_carrier(size_t i);

/*
 * Listeners.  A name says nothing of the address: what a socket is, it says
 * itself, and names of interfaces change.  0.1.0 put the address there.
 */
void store_add_listener(int number, int fd);
void store_remove_listener(int number);

/* The number in a name that store_add_listener() has made, or -1. */
int store_listener_number(const char *name);

#endif
