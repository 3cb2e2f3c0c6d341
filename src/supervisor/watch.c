/* SPDX-License-Identifier: MIT */
#include "supervisor/watch.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"
#include "supervisor/report.h"
#include "systemd/notify.h"

static bool ends(int signal)
{
	return signal == SIGTERM || signal == SIGINT;
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* The milliseconds until then, as poll(2) takes them. */
static int until(int64_t due)
{
	int64_t left = due - clock_ms();

	if (due == INT64_MAX)
		return -1;
	return left <= 0 ? 0 : left < INT_MAX ? (int)left : INT_MAX;
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
	if (poll(p, 3, until(due)) > 0)
		signal = process_next_signal(w->signal_fd);
	notify_retry();
	if (signal == SIGUSR1)
		report_counters(EVENT_COUNTERS, "counters", w->reactor);
	return signal;
}

/* The same while the threads serve. */
static int attend(struct watch *w, int fd, int64_t due)
{
	int signal = wait_for_signal(w, fd, sooner(due, w->watchdog.next));

	watchdog_beat(&w->watchdog, w->reactor);
	return signal;
}

void watch_start(struct watch *w, struct reactor *reactor, int signal_fd)
{
	w->reactor = reactor;
	w->signal_fd = signal_fd;
	watchdog_start(&w->watchdog, reactor);
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
		  "%s: %s; a restart will end all connections",
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
	for (;;) {
		int signal;

		if (reactor_has_failed(w->reactor))
			return 0;
		signal = attend(w, w->reactor->failed_fd, due);
		hear_answer(w);
		if (signal == SIGHUP || ends(signal))
			return signal;
		if (clock_ms() >= due)
			return 0;
	}
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
			  "connections end",
			  strerrordesc_np(-answer));
	return answer == JOB_RESTART && !*hurried;
}

bool watch_end(struct watch *w, int64_t timeout_ms, bool hurried)
{
	int64_t deadline = clock_ms() + timeout_ms;

	while (!reactor_stop(w->reactor, hurried)) {
		if (clock_ms() >= deadline)
			return false;
		if (ends(wait_for_signal(w, w->reactor->main_fd, deadline)) && !hurried)
			return false;
	}
	return true;
}

void watch_cancel(struct watch *w)
{
	job_cancel(&w->job);
}
