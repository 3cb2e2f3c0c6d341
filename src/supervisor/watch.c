/* SPDX-License-Identifier: MIT */
#include "supervisor/watch.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"
#include "supervisor/report.h"
#include "systemd/notify.h"

/* The status is sent no more often, and is looked at so often without a watchdog. */
#define STATUS_INTERVAL_MS 5000

void watch_start(struct watch *w, struct reactor *reactor, int signal_fd)
{
	int64_t timeout = notify_watchdog_ms();

	*w = (struct watch){ .reactor = reactor, .signal_fd = signal_fd, .fed = timeout > 0 };
	w->interval = !w->fed ? STATUS_INTERVAL_MS : timeout / 4 > 0 ? timeout / 4 : 1;
	w->next = w->fed || notify_is_managed() ? clock_ms() + w->interval : INT64_MAX;
	if (w->fed)
		reactor_ask(reactor);
}

/* Returns false if a thread is stuck, and logs it once. */
static bool all_answered(struct watch *w)
{
	unsigned i = 0;
	const char *name = reactor_unanswered(w->reactor, &i);
	bool all = !name;

	for (; name && !w->complaining; name = reactor_unanswered(w->reactor, &i))
		log_event(EVENT_THREAD_STUCK, FIELDS(FIELD("ECHOD_THREAD", name)),
			  "watchdog: %s does not answer", name);
	w->complaining = !all;
	return all;
}

const char *watch_status(struct watch *w, const char *remark)
{
	uint64_t refused = 0;

	for (int i = 0; i < REFUSALS; i++)
		refused += counter_get(&w->reactor->acceptor.refused[i]);
	w->remark = remark;
	w->told = clock_ms();
	snprintf(w->status, sizeof(w->status), "Connections: %" PRIu64 ", refused: %" PRIu64 "%s%s",
		 reactor_open(w->reactor), refused, remark ? "; " : "", remark ? remark : "");
	return w->status;
}

/* Does what is due now, perhaps nothing: sends the heartbeat, and the status if it has changed. */
static void beat(struct watch *w)
{
	char before[sizeof(w->status)];
	int64_t told = w->told;

	if (clock_ms() < w->next)
		return;
	w->next = clock_ms() + w->interval;
	if (w->fed && all_answered(w)) {
		(void)notify_send("WATCHDOG=1", -1, false); /* without this one the next will do */
		reactor_ask(w->reactor);
	}
	if (clock_ms() - told < STATUS_INTERVAL_MS)
		return;
	memcpy(before, w->status, sizeof(before));
	if (strcmp(watch_status(w, w->remark), before) != 0)
		notify_status(w->status);
	else
		w->told = told;
}

static bool ends(int signal)
{
	return signal == SIGTERM || signal == SIGINT;
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/*
 * Waits for a signal, and returns it; 0 at that time, if the manager has
 * answered, or, if fd is not -1, that is readable.
 */
static int wait_for_signal(struct watch *w, int fd, int64_t due)
{
	struct pollfd p[] = {
		{ .fd = w->signal_fd, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
		{ .fd = -1 },
	};
	int signal = 0;

	due = sooner(due, job_poll(&w->job, &p[2]));
	due = sooner(due, notify_due());
	if (poll(p, 3, clock_timeout(due, clock_ms())) > 0)
		signal = process_next_signal(w->signal_fd);
	notify_retry();
	if (signal == SIGUSR1)
		report_counters(EVENT_COUNTERS, "counters", w->reactor);
	return signal;
}

/* The same while the threads serve. */
static int attend(struct watch *w, int fd, int64_t due)
{
	int signal = wait_for_signal(w, fd, sooner(due, w->next));

	beat(w);
	return signal;
}

void watch_ask_ahead(struct watch *w)
{
	job_ask(&w->job, WATCH_ASKING_MS, true);
}

/* error is positive, or 0 if the unit has no file descriptor store. */
static void log_restarts_drop(int error)
{
	const char *why = error ? strerrordesc_np(error) : "FileDescriptorStoreMax= is 0";

	log_event(EVENT_RESTARTS_DROP, FIELDS(FIELD("ECHOD_ERROR", why)),
		  "%s: %s; a restart will close all connections",
		  error ? "cannot ask the service manager" :
			  "the service manager stores no descriptors of this unit",
		  why);
}

/* What watch_ask_ahead() has led to, if it is known by now. */
static void hear_answer(struct watch *w)
{
	int answer = job_process(&w->job);

	if (answer == JOB_ASKING)
		return;
	w->answered = answer > 0;
	if (answer < 0 || answer == JOB_NO_STORE)
		log_restarts_drop(answer < 0 ? -answer : 0);
	job_cancel(&w->job);
}

int watch_signal(struct watch *w, int64_t due)
{
	int signal = attend(w, w->reactor->shared.failed_fd, due);

	hear_answer(w);
	return signal == SIGHUP || ends(signal) ? signal : 0;
}

bool watch_is_restart(struct watch *w, bool *hurried)
{
	int answer;

	job_ask(&w->job, WATCH_ASKING_MS, w->answered);
	do {
		*hurried = ends(attend(w, -1, INT64_MAX));
		answer = job_process(&w->job);
	} while (answer == JOB_ASKING && !*hurried);
	job_cancel(&w->job);
	if (answer < 0 && !*hurried)
		log_event(EVENT_RESTART_UNKNOWN, FIELDS(FIELD_ERRNO(-answer)),
			  "cannot ask the service manager whether this is a restart: %s; "
			  "draining connections",
			  strerrordesc_np(-answer));
	return answer == JOB_RESTART && !*hurried;
}

bool watch_end(struct watch *w, int64_t timeout_ms, bool hurried)
{
	int64_t deadline = clock_ms() + timeout_ms;

	while (!reactor_stop(w->reactor, hurried)) {
		if (clock_ms() >= deadline)
			return false;
		if (ends(wait_for_signal(w, w->reactor->shared.main_fd, deadline)) && !hurried)
			return false;
	}
	return true;
}
