/* SPDX-License-Identifier: MIT */
/*
 * watchdog: the heartbeat, by which the service manager learns that every
 * thread is responsive, and the status that it shows.
 *
 * To be asleep is healthy, to be stuck is not.  At each heartbeat the acceptor
 * and every worker are asked to come round (loop_ask()); the next heartbeat is
 * sent only if all have answered.  It is sent four times in the time that the
 * watchdog allows, so that one late answer does no harm.
 *
 * Without a service manager there is none, and no thread wakes up for it.
 * Main thread only.
 */
#ifndef ECHOD_WATCHDOG_H
#define ECHOD_WATCHDOG_H

#include "reactor/reactor.h"

struct watchdog {
	int64_t interval;   /* ms between two heartbeats */
	int64_t next;	    /* ms of the clock: watchdog_beat() is due; INT64_MAX: never */
	bool fed;	    /* the manager expects heartbeats */
	bool complaining;   /* the log has which threads are stuck */
	int64_t told;	    /* ms: when the status was sent, */
	char status[128];   /* and what it was */
	const char *remark; /* at the end of the status, a constant; or NULL */
};

/* After the threads have started. */
void watchdog_start(struct watchdog *w, struct reactor *r);

/* Does what is due now, perhaps nothing. */
void watchdog_beat(struct watchdog *w, struct reactor *r);

/* Returns the status to be sent now, with a remark from now on, or NULL. */
const char *watchdog_status(struct watchdog *w, const struct reactor *r, const char *remark);

#endif
