/*
 * rescue: what is left to do when the service manager's watchdog has given us
 * up, and sends SIGABRT.
 *
 * Some thread is stuck, perhaps main; all the others can still give their
 * connections to the next process.  So a thread of its own, which does nothing
 * else, waits for that signal, hands over what is sound, and ends the process
 * by abort(3), which leaves a core to look into.
 */
#ifndef ECHOD_RESCUE_H
#define ECHOD_RESCUE_H

#include <stdbool.h>

#include "reactor.h"

/*
 * Starts the thread if there is a watchdog; SIGABRT is blocked.  r must live as
 * long as the process.  0 or -errno.
 */
int rescue_start(struct reactor *r);

/* Whether it hands over, or only aborts: the option hand_over.  At any time. */
void rescue_allow(bool hand_over);

#endif
