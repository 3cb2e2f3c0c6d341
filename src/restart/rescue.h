/* SPDX-License-Identifier: MIT */
/*
 * rescue: hands over at SIGABRT, which the service manager sends when it misses
 * the heartbeat, or when a stop takes too long.
 *
 * A thread is stuck, perhaps main; the connections of all other threads can
 * still be handed over.  So a thread of its own, which does nothing else, waits
 * for that signal, hands over, and ends the process by abort(3), which leaves a
 * core file.
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

/* Main: from now on, until rescue_end(), the thread may stop the reactor at any time. */
void rescue_begin(void);

/*
 * Main: before it hands over or stops.  Once this returns, the reactor is main's
 * alone.  It does not return if the thread has it already, which then ends the
 * process.
 */
void rescue_end(bool hands_over);

/* Whether it hands over, or only aborts: the option hand_over.  At any time. */
void rescue_allow(bool hand_over);

#endif
