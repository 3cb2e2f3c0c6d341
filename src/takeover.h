/*
 * takeover: the connections of a predecessor, out of what the service manager
 * passed; see handover.h.
 *
 * Main thread only.
 */
#ifndef ECHOD_TAKEOVER_H
#define ECHOD_TAKEOVER_H

#include <stdint.h>

#include "activation.h"
#include "reactor.h"

/*
 * Takes over what a predecessor has stored, if it has, into a reactor that has
 * its settings and does not run yet.  What is damaged, unknown or of no use is
 * closed with a reset, and nothing stays in the store.  *a has no state and no
 * carriers afterwards.
 *
 * Returns how many connections go on, and how many were closed in *lost; or,
 * if their state was not understood and all were closed, -errno as from
 * state_open().
 */
int64_t takeover_run(struct reactor *r, struct activation *a, uint32_t *lost);

#endif
