/* SPDX-License-Identifier: MIT */
/*
 * fdstore: the file descriptor store, in which systemd keeps descriptors of
 * ours over a restart (FileDescriptorStoreMax=; FDSTORE=1 in sd_notify(3)).
 *
 * A descriptor has the name of its kind, with a number from 0 on behind it, or
 * without one (-1).  All kinds begin with FDSTORE_PREFIX, which tells them from
 * the names of socket units.  systemd holds the same open file description:
 * close(2) neither ends a stored socket nor takes it out of an epoll instance.
 *
 * Without a service manager these do nothing.  A unit without a store drops
 * what is stored, without an error; job.h asks whether there is one.  A manager that
 * does not read is waited for as notify_send() says.
 * Main, or the thread of rescue.h.
 */
#ifndef ECHOD_FDSTORE_H
#define ECHOD_FDSTORE_H

#define FDSTORE_PREFIX "stored."
#define FDSTORE_LISTENER FDSTORE_PREFIX "listener" /* all; 0.1.0 put an address behind it */
#define FDSTORE_CARRIER FDSTORE_PREFIX "carrier."  /* see fdpass.h */
#define FDSTORE_STATE FDSTORE_PREFIX "state"	   /* see state.h */

/* Stores a duplicate of fd; the same one twice is stored once.  0 or -errno. */
int fdstore_add(const char *kind, int number, int fd);

/* Removes and closes what has this name; any name is a kind, without a number. */
void fdstore_remove(const char *kind, int number);

#endif
