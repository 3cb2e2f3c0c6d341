/*
 * handover: the connections, and what is known of them, go into the service
 * manager's store for the next process; see takeover.h.
 *
 * Main thread only.
 */
#ifndef ECHOD_HANDOVER_H
#define ECHOD_HANDOVER_H

#include <stdint.h>

#include "reactor.h"

/*
 * Stores the connections of all workers that are frozen, see reactor_freeze();
 * those of others, and what cannot be carried, will end with a reset when the
 * process does.  What was pending is freed.
 *
 * Returns how many were stored, or -errno if there is no way to store any; the
 * number of the others is in *lost.
 */
int64_t handover_give(struct reactor *r, uint32_t *lost);

#endif
