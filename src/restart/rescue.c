/* SPDX-License-Identifier: MIT */
/*
 * Main and this thread can both be about to end the process: one must leave it to
 * the other, or both would join, store and free the same.  An atomic variable
 * says which thread owns the end, and changes in these ways only:
 *
 *   BUSY -> FREE      main has started all
 *   FREE -> BUSY      main hands over
 *   FREE -> STOPPING  main stops
 *   FREE -> RESCUING  SIGABRT: main does nothing more
 *
 * A SIGABRT waits while main is BUSY, for then main starts or hands over, but not
 * for ever: main may be what is stuck.
 */
#include "restart/rescue.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/confine.h"
#include "base/log.h"
#include "base/thread.h"
#include "restart/handover.h"
#include "systemd/notify.h"

/* Less than the units' TimeoutAbortSec=, so that there is a core. */
#define BUSY_MS 8000
#define PAUSE_MS 10

enum owner { BUSY, FREE, STOPPING, RESCUING };

static _Atomic int owner = BUSY;
static _Atomic bool may_hand_over;
static sigset_t sigabrt;

static bool take(enum owner to)
{
	int from = FREE;

	return atomic_compare_exchange_strong(&owner, &from, to);
}

static bool take_in_time(void)
{
	int64_t end = clock_ms() + BUSY_MS;

	while (!take(RESCUING)) {
		if (atomic_load(&owner) == STOPPING || clock_ms() > end)
			return false;
		(void)poll(NULL, 0, PAUSE_MS);
	}
	return true;
}

static void *run(void *arg)
{
	bool hands_over;
	int signal;

	pthread_setname_np(pthread_self(), "rescue");
	confine_enter(CALLS_OF_CONTROL, "rescue");
	sigwait(&sigabrt, &signal);
	hands_over = take_in_time() && atomic_load(&may_hand_over);
	log_event(EVENT_ABORTING, NULL, "SIGABRT: %s",
		  hands_over ? "handing over what is not stuck, then aborting" : "aborting");
	if (hands_over)
		handover_run(arg);
	abort();
}

void rescue_allow(bool hand_over)
{
	atomic_store(&may_hand_over, hand_over);
}

int rescue_start(struct reactor *r)
{
	atomic_store(&owner, BUSY);
	sigemptyset(&sigabrt);
	sigaddset(&sigabrt, SIGABRT);
	if (notify_watchdog_ms() == 0) /* then SIGABRT ends the process, as it does by default */
		return -pthread_sigmask(SIG_UNBLOCK, &sigabrt, NULL);
	return thread_start(NULL, run, r);
}

void rescue_begin(void)
{
	atomic_store(&owner, FREE);
}

void rescue_end(bool hands_over)
{
	if (take(hands_over ? BUSY : STOPPING))
		return;
	for (;;)
		(void)poll(NULL, 0, -1);
}
