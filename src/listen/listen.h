/* SPDX-License-Identifier: MIT */
/*
 * listen: the set of listeners, from the start through reloads to the end.
 *
 * This folder opens and keeps listening sockets; the acceptor (reactor/) serves
 * them.  Either the listeners are passed by a socket unit, and then they stay
 * what they are, or `listen` of the configuration names them; of these the
 * service manager keeps a copy (systemd/fdstore.h), so that their queues outlive
 * a restart and a crash.
 *
 * Main thread only.  Includes conf, systemd and base.  The acceptor closes the
 * descriptors of the sets that it was given; see reactor/acceptor.h.
 */
#ifndef ECHOD_LISTEN_H
#define ECHOD_LISTEN_H

#include "listen/activation.h"

/*
 * Takes the listeners that were passed; else those that conf names, of which
 * only what is not stored is opened.  The listeners of *a are the set's from
 * here on.  Returns 0; or -errno, logged, -ENOENT if only passed ones are
 * wanted: then the process is to end.
 */
int listen_start(struct listeners *set, const struct activation *a, const struct conf *conf,
		 bool only_passed);

/*
 * Makes *next what conf names: listeners of the set that are still good stay as
 * they are, the others are opened.  An IPv6 address is left out on a kernel
 * without IPv6, as long as another one remains.  An address of the set whose
 * listener has failed, and cannot be opened now either, gets an fd of -1.
 *
 * 0 or -errno, logged, and then nothing is open that was not before.
 */
int listen_prepare(const struct listeners *set, const struct conf *conf, struct listeners *next);

/*
 * Makes *next, which listen_prepare() has made, the set, with the options of
 * conf.  Descriptors that are only in the old set are still the acceptor's to
 * close.
 */
void listen_adopt(struct listeners *set, const struct conf *conf, const struct listeners *next);

/*
 * The listener with this descriptor has failed with this errno of accept(2); or 0, to try
 * again.  If it has not ended, it is left as it is, and the result is false.  Else any that
 * was shut down, by another process that has it or by "ss -K", is replaced, with its port,
 * or, if that fails or it was passed, stays in the set with an fd of -1.  The acceptor is
 * to be given the set then; the old descriptors are its to close.
 *
 * set->due says when to try again: after a second, then after twice as long each time, up
 * to a minute.  The other listeners are served meanwhile.
 */
bool listen_repair(struct listeners *set, const struct conf *conf, int fd, int error);

/* What the status of the service must say of the listeners, or NULL. */
const char *listen_remark(const struct listeners *set);

/* Has the service manager forget the listeners: this is the end, not a restart. */
void listen_forget(void);

/* Closes all, if the acceptor has not been given them. */
void listen_close(const struct listeners *set);

#endif
