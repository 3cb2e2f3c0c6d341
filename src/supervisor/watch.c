#include "supervisor/watch.h"

#include <poll.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/signals.h"
#include "supervisor/report.h"
#include "systemd/notify.h"

static bool ends(int signal)
{
	return signal == SIGTERM || signal == SIGINT;
}

/* The sooner of two times to wait, of which -1 is for ever. */
static int sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/*
 * Waits for a signal, and returns it; 0 if time is up, the manager has said
 * something, or, if fd is not -1, that is readable.
 */
static int wait_for_signal(struct watch *w, int fd, int timeout_ms)
{
	struct pollfd p[] = {
		{ .fd = w->signal_fd, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
		{ .fd = -1 },
	};
	int signal = 0;

	timeout_ms = sooner(timeout_ms, job_poll(&w->job, &p[2]));
	timeout_ms = sooner(timeout_ms, notify_retry_ms());
	if (poll(p, 3, timeout_ms) > 0)
		signal = signals_next(w->signal_fd);
	notify_retry();
	if (signal == SIGUSR1)
		report_counters(EVENT_COUNTERS, "counters", &w->reactor->acceptor,
				w->reactor->workers, w->reactor->n_workers);
	return signal;
}

/* The same while the threads serve. */
static int attend(struct watch *w, int fd, int timeout_ms)
{
	int signal = wait_for_signal(w, fd, sooner(timeout_ms, pulse_wait(&w->pulse)));

	pulse_beat(&w->pulse, w->reactor);
	return signal;
}

void watch_start(struct watch *w, struct reactor *reactor, int signal_fd)
{
	w->reactor = reactor;
	w->signal_fd = signal_fd;
	pulse_start(&w->pulse, reactor);
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

int watch_signal(struct watch *w, int timeout_ms)
{
	int64_t deadline = clock_ms() + timeout_ms;
	int64_t left = timeout_ms;

	for (;;) {
		int signal;

		reactor_heard(w->reactor);
		if (acceptor_has_failed(&w->reactor->acceptor))
			return 0;
		signal = attend(w, w->reactor->main_fd, (int)left);
		hear_answer(w);
		if (signal == SIGHUP || ends(signal))
			return signal;
		if (timeout_ms < 0)
			continue;
		left = deadline - clock_ms();
		if (left <= 0)
			return 0;
	}
}

bool watch_is_restart(struct watch *w, bool *hurried)
{
	int answer;

	job_ask(&w->job, WATCH_ASKING_MS, w->answered);
	do {
		*hurried = ends(attend(w, -1, -1));
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
		int64_t left = deadline - clock_ms();

		if (left <= 0)
			return false;
		if (ends(wait_for_signal(w, w->reactor->main_fd, (int)left)) && !hurried)
			return false;
	}
	return true;
}

void watch_cancel(struct watch *w)
{
	job_cancel(&w->job);
}
