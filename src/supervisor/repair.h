/* SPDX-License-Identifier: MIT */
/*
 * repair: replaces listeners that fail while they are served.
 *
 * The acceptor stops watching a listener on which accept(2) fails with an error
 * of the listener, and tells main.  If the listener was shut down, by another
 * process that has it or by "ss -K", main opens another one in its place, or, if
 * it was passed, leaves it out.  If it was not, or if no other can be opened,
 * main tries again: after a second, then after twice as long each time, up to a
 * minute.  The other listeners are served meanwhile.
 *
 * Main thread only.
 */
#ifndef ECHOD_REPAIR_H
#define ECHOD_REPAIR_H

#include "listen/listen.h"

/* How long to wait for an acceptor that has not taken over yet what the last repair gave it. */
#define REPAIR_SOON_MS 100

struct repair {
	int64_t next; /* ms of the clock: repair_run() is due; INT64_MAX: nothing has failed */
	int64_t last; /* ms: when something failed last, or 0 */
	int64_t delay;
};

/*
 * The listener with this descriptor has failed with this errno; or 0, to try
 * again.  Does what can be done, and logs it.  True if the set has changed, or is
 * to be given to the acceptor again.
 */
bool repair_run(struct repair *r, struct listeners *set, const struct conf *conf, int fd,
		int error);

#endif
