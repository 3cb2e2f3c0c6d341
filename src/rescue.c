#include "rescue.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "confine.h"
#include "handover.h"
#include "log.h"
#include "service.h"

static _Atomic bool may_hand_over;

static void make_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGABRT);
}

static void *run(void *arg)
{
	sigset_t set;
	int signal;

	pthread_setname_np(pthread_self(), "rescue");
	confine_enter(CALLS_OF_CONTROL, "rescue");
	make_set(&set);
	sigwait(&set, &signal);
	if (!atomic_load(&may_hand_over)) {
		log_event(EVENT_ABORTING, "SIGABRT: aborting");
		log_flush(LOG_FLUSH_MS);
		abort();
	}
	log_event(EVENT_ABORTING, "SIGABRT: handing over what is not stuck, then aborting");
	handover_run(arg);
	log_flush(LOG_FLUSH_MS);
	abort();
}

void rescue_allow(bool hand_over)
{
	atomic_store(&may_hand_over, hand_over);
}

int rescue_start(struct reactor *r)
{
	pthread_t thread;
	int e;

	if (service_watchdog_ms() == 0) {
		sigset_t set;

		make_set(&set);
		return -pthread_sigmask(SIG_UNBLOCK, &set, NULL); /* it ends us, as ever */
	}
	e = pthread_create(&thread, NULL, run, r);
	if (e == 0)
		pthread_detach(thread);
	return -e;
}
