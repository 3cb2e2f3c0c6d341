/* SPDX-License-Identifier: MIT */
/*
 * run: what a load or ping is, and how it ended, beside what its tally has.
 *
 * Main thread.
 */
#ifndef ECHOC_RUN_H
#define ECHOC_RUN_H

#include <time.h>

#include "echoc/options.h"
#include "echoc/outages.h"
#include "echoc/tally.h"

struct run {
	const struct options *options;
	const char *target; /* "HOST:PORT" */
	const struct outages *outages;
	struct timespec date; /* when it began */
	int64_t start;	      /* ns of the clock: when messages began that count; */
	double duration;      /* for how many seconds they were offered, */
	double answered;      /* and until the last answer, if that is later */
};

/* The exit status by what was counted. */
int run_status(const struct run *run, const struct tally *tally);

/* With --reconnect, all that went wrong, but for wrong bytes, is that of outages. */
bool run_forgives(const struct run *run, const struct tally *tally);

/* There was an outage longer than --max-outage. */
bool run_is_late(const struct run *run);

/* Lost messages in percent of those that were sent; NAN if none was. */
double run_loss(const struct tally *tally);

/* An outage, as far as it is in the time in which messages count; -1 ns long: it lasts. */
struct span {
	int64_t start, length;
};
struct span run_outage(const struct run *run, const struct outage *outage);

/* How many a second; 0 in no time. */
double run_rate(uint64_t n, double seconds);

/* A percentile means something: there are at least 1 / (1 - share) samples. */
bool run_knows(const struct histogram *h, double percent);

#endif
