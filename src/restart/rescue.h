/*
 * rescue: what is left to do at SIGABRT, which the service manager sends when its
 * watchdog is not fed, or when a stop takes too long.
 *
 * Some thread is stuck, perhaps main; all the others can still give their
 * connections to the next process.  So a thread of its own, which does nothing
 * else, waits for that signal, hands over what is sound, and ends the process
 * by abort(3), which leaves a core to look into.
 */
#ifndef ECHOD_RESCUE_H
#define ECHOD_RESCUE_H

#include <stdbool.h>

#include "reactor/reactor.h"

/*
 * Starts the thread if there is a watchdog; SIGABRT is blocked.  It waits until
 * rescue_begin().  0 or -errno.
 */
int rescue_start(struct reactor *r);

/* Main: from now on, until rescue_end(), the thread may end the reactor at any time. */
void rescue_begin(void);

/*
 * Main: asks for the end of the process, by handing over or a stop.  Once it
 * returns, the reactor is main's alone.  It does not return if the thread has it
 * already, which then ends the process.
 */
void rescue_end(bool hands_over);

/* Whether it hands over, or only aborts: the option hand_over.  At any time. */
void rescue_allow(bool hand_over);

#endif
