/* SPDX-License-Identifier: MIT */
/*
 * takeover: restores the connections of a predecessor from what the service
 * manager passed; see handover.h.
 *
 * Main thread only.
 */
#ifndef ECHOD_TAKEOVER_H
#define ECHOD_TAKEOVER_H

#include <stdint.h>

#include "listen/activation.h"
#include "reactor/reactor.h"

struct takeover {
	uint32_t carried; /* connections that go on */
	uint32_t lost;	  /* connections that were closed */
	int error;	  /* why all were closed: -errno as from state_open(); or 0 */
	int64_t frozen;	  /* ns of the clock: when the predecessor stopped serving; or 0 */
};

/*
 * Restores what a predecessor has stored, if there was one, in a reactor that has
 * its settings and does not run yet; no other thread may run.  What is damaged,
 * unknown or of no use is closed with a reset, and nothing stays in the store.
 * *a has no state and no carriers afterwards.
 */
struct takeover takeover_run(struct reactor *r, struct activation *a);

/* Logs what takeover_run() returned; when the reactor runs, so that the pause is the whole one. */
void takeover_log(const struct takeover *t);

#endif
