/* SPDX-License-Identifier: MIT */
/*
 * watch: what main waits for once the threads run: signals, the heartbeat, the
 * service manager's answer, and in the end the threads.
 *
 * Whatever it waits for, it sends the heartbeat and logs the counters at
 * SIGUSR1.  Times are in ms of the clock, INT64_MAX is never.  Main thread only.
 */
#ifndef ECHOD_WATCH_H
#define ECHOD_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "reactor/reactor.h"
#include "supervisor/watchdog.h"
#include "systemd/job.h"

/* The longest that watch_is_restart() takes. */
#define WATCH_ASKING_MS 10000

struct watch {
	struct reactor *reactor;
	int signal_fd;
	struct watchdog watchdog;
	struct job job;
	bool answered; /* the service manager has, when it was asked ahead */
};

/* After the threads have started; the reactor and the descriptor must outlive the watch. */
void watch_start(struct watch *w, struct reactor *reactor, int signal_fd);

/*
 * Waits for SIGHUP, SIGTERM or SIGINT, and returns it; or 0, if a listener has
 * failed, see acceptor_failure(), or when the time is due.
 */
int watch_signal(struct watch *w, int64_t due);

/*
 * Has the service manager say whether it could keep what we have over a restart,
 * and logs it if it could not.  Returns at once; watch_signal() hears the answer.
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

/* Drops the question of watch_ask_ahead(), if there is one.  Also for a watch that is all zero. */
void watch_cancel(struct watch *w);

#endif
