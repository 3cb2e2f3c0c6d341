/*
 * listening: on what we listen, from the start through reloads to the end.
 *
 * Either the listeners are passed by a socket unit, and then they stay what
 * they are, or `listen` of the configuration names them; of these the service
 * manager keeps a copy (fdstore.h), so that their queues outlive a restart and
 * a crash.
 *
 * Main thread only.  The acceptor closes what it is given; see acceptor.h.
 */
#ifndef ECHOD_LISTENING_H
#define ECHOD_LISTENING_H

#include <stdbool.h>

#include "listen/activation.h"
#include "listen/listeners.h"

struct listening {
	struct listeners set;
	bool passed; /* by a socket unit */
	bool lost;   /* one of those that were passed */
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

/*
 * The i-th listener has ended.  One of our own stays in the set, with an fd of
 * -1; one that was passed leaves it.  The descriptor is still the acceptor's to
 * close.  Logs nothing.
 */
void listening_lose(struct listening *l, size_t i);

/* Opens the i-th, whose fd is -1, again.  0 or -errno, logged. */
int listening_recover(struct listening *l, size_t i, const struct conf *conf);

/* What the status of the service must say of the listeners, or NULL. */
const char *listening_remark(const struct listening *l);

/* Has the manager forget the listeners: this is the end, not a restart. */
void listening_forget(struct listening *l);

#endif
