/* SPDX-License-Identifier: MIT */
/*
 * load: many connections, every byte verified, every latency counted.
 *
 * Main thread; one load at a time.
 */
#ifndef ECHOC_LOAD_H
#define ECHOC_LOAD_H

#include "echoc/options.h"
#include "echoc/tally.h"
#include "echoc/target.h"

/* Prints the results.  Returns the exit status, after it has said on stderr what went wrong. */
int load_run(const struct options *options, const struct target *target);

struct load_sum {
	struct tally tally;
	double duration; /* seconds in which messages were offered, */
	double answered; /* and until the last answer */
	bool interrupted;
};

/* Prints nothing of a load but errors; options are quiet.  -1; or an exit status without *sum. */
int load_measure(const struct options *options, const struct target *target, struct load_sum *sum);

#endif
