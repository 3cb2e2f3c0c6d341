/* SPDX-License-Identifier: MIT */
/*
 * plan: what the loaders of a load are to do, and when.
 *
 * With a rate R, message m of all is due at start + m / R, whatever the server does;
 * loader t of T takes the messages t, t + T, t + 2T and so on, and deals them out to
 * its links round-robin.  So a link's k-th message has a time that follows from k
 * alone.  When the server is slow the message is sent later, but its latency counts
 * from that time: no coordinated omission.  Without a rate a message is due when there
 * is room for it.
 *
 * Main writes the plan, the loaders read it.  Times are in ns of the clock.
 */
#ifndef ECHOC_PLAN_H
#define ECHOC_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "echoc/options.h"
#include "echoc/outages.h"
#include "echoc/target.h"

enum phase {
	PHASE_CONNECT, /* until every connection has been made or has failed */
	PHASE_TALK,
	PHASE_END,  /* no new messages; wait for those on their way, then FIN */
	PHASE_QUIT, /* at once */
};

struct plan {
	const struct options *options;
	const struct target *target;
	_Atomic int phase;
	_Atomic int64_t start;	   /* of PHASE_TALK; set before the phase */
	_Atomic int64_t stop;	   /* what is due later is not sent */
	_Atomic unsigned answered; /* the address of the target that answered last */
	int64_t connect_start;
	int done_fd; /* eventfd: 1 is added when a loader has tried all, and at its end */
	struct outages outages; /* the loaders write */
};

/* The share of loader `number` when `total` things are dealt out round-robin. */
uint64_t plan_share(const struct plan *plan, uint64_t total, unsigned number);

/* When message m of loader `number` is due, with a rate; INT64_MAX: never. */
int64_t plan_time(const struct plan *plan, unsigned number, uint64_t m);

/* Whether a message of that time is in the result, and not of the warm-up. */
bool plan_counts(const struct plan *plan, int64_t time);

/* The size of the next message; *random is the state of a generator. */
size_t plan_size(const struct plan *plan, uint64_t *random);

#endif
