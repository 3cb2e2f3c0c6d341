/*
 * listening: on what we listen, from the start through reloads to the end.
 *
 * Either the listeners are passed by a socket unit, and then they stay what
 * they are, or `listen` of the configuration names them; of these the service
 * manager keeps a copy (store.h), so that their queues outlive a restart and
 * a crash.
 *
 * Main thread only.  The acceptor closes what it is given; see acceptor.h.
 */
#ifndef ECHOD_LISTENING_H
#define ECHOD_LISTENING_H

#include <stdbool.h>

#include "activation.h"
#include "listeners.h"

struct listening {
	struct listeners set;
	bool passed; /* by a socket unit */
};

/*
 * Takes the listeners that were passed; else opens those that conf names,
 * unless they are stored.  The listeners of *a are its own from here on.
 * Returns 0 or -errno, logged: -ENOENT if only passed ones are wanted.
 */
int listening_start(struct listening *l, const struct activation *a, const struct conf *conf,
		    bool only_passed);

/*
 * Opens what conf names beside the listeners that we have.  0 or -errno,
 * logged, and nothing has changed.
 */
int listening_prepare(const struct listening *l, const struct conf *conf, struct listeners *next);

/*
 * Makes *next, which listening_prepare() has made, the set, with the options
 * of conf.  Who is only in the old set is still the acceptor's to close.
 */
void listening_adopt(struct listening *l, const struct conf *conf, const struct listeners *next);

/* Has the manager forget the listeners: this is the end, not a restart. */
void listening_forget(const struct listening *l);

#endif
