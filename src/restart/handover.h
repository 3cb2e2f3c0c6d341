/*
 * handover: the connections, and what is known of them, go into the service
 * manager's store for the next process; see takeover.h.
 *
 * Main, or the thread of rescue.h.
 */
#ifndef ECHOD_HANDOVER_H
#define ECHOD_HANDOVER_H

#include "reactor/reactor.h"

/*
 * Ends all threads as reactor_freeze() does, and stores the connections of
 * those that come to a halt; those of the others, and what cannot be carried,
 * will end with a reset when the process does.  What was pending is freed.
 * Logs what it did.
 *
 * Returns the number of threads that are stuck, as reactor_freeze().
 */
unsigned handover_run(struct reactor *r);

#endif
