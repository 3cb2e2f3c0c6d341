/* SPDX-License-Identifier: MIT */
/*
 * watch: what main waits for once the threads run: signals, the service manager's
 * answer, failed listeners, and in the end the threads.
 *
 * Whatever it waits for, it sends the heartbeat, by which the service manager learns
 * that every thread is responsive, and the status that it shows, and logs the counters
 * at SIGUSR1.
 *
 * A thread that sleeps is responsive, a stuck one is not.  At each heartbeat the acceptor and every
 * worker are asked to come round (loop_ask()); the next heartbeat is sent only if all have
 * answered.  It is sent four times in the time that the watchdog allows, so that one late answer
 * does no harm.  Without a service manager there is none, and no thread wakes up for it.
 *
 * Times are in ms of the clock, INT64_MAX is never.  Main thread only.
 */
#ifndef ECHOD_WATCH_H
#define ECHOD_WATCH_H

#include "reactor/reactor.h"
#include "systemd/job.h"

/* The longest that watch_is_restart() takes. */
#define WATCH_ASKING_MS 10000

struct watch {
	struct reactor *reactor;
	int signal_fd;
	struct job job; /* what the service manager is asked */
	bool answered;	/* it has, when it was asked ahead */

	bool fed;	    /* it expects heartbeats */
	bool complaining;   /* the log has which threads are stuck */
	int64_t interval;   /* ms between two heartbeats, or looks at the status */
	int64_t next;	    /* when the next one is due */
	int64_t told;	    /* when the status was sent, */
	char status[128];   /* and what it was */
	const char *remark; /* at the end of the status, a constant; or NULL */
};

/* After the threads have started; the reactor and the descriptor must outlive the watch. */
void watch_start(struct watch *w, struct reactor *reactor, int signal_fd);

/*
 * Waits for SIGHUP, SIGTERM or SIGINT, and returns it; or 0, now and then, but at once
 * when a listener has failed, see acceptor_failure(), or when the time is due.
 */
int watch_signal(struct watch *w, int64_t due);

/* Returns the status to be sent now, with a remark from now on, or NULL. */
const char *watch_status(struct watch *w, const char *remark);

/*
 * Has the service manager say whether it could keep what we have over a restart,
 * and logs it if it could not.  Returns at once; watch_signal() hears the answer.
 * job_cancel() drops the question.
 */
void watch_ask_ahead(struct watch *w);

/*
 * Asks the service manager whether we are being restarted, so that the next
 * process can have what we have.  Logs why if that cannot be known.  A signal to
 * end ends the asking: false, and *hurried is true.
 */
bool watch_is_restart(struct watch *w, bool *hurried);

/*
 * Stops the reactor as reactor_stop(), and waits until all threads have ended, with no
 * heartbeat.  False if that takes longer, or, unless hurried, at a signal to end.
 */
bool watch_end(struct watch *w, int64_t timeout_ms, bool hurried);

#endif
