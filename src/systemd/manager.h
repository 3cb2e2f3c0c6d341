/*
 * manager: what the service manager that runs us answers over D-Bus
 * (org.freedesktop.systemd1(5)), asked without ever waiting for it.
 *
 * SIGTERM does not say whether a restart follows, but the job of our unit does.
 * The manager is that of the system, on the system bus, or, if MANAGERPID is set
 * (systemd.exec(5)), that of a user, on the bus of that user.
 *
 * Life of a question: manager_ask(); then, until there is an answer, poll(2) with
 * what manager_poll() says, and manager_process().  Main thread only.
 */
#ifndef ECHOD_MANAGER_H
#define ECHOD_MANAGER_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

enum manager_answer {
	MANAGER_ASKING,	    /* not known yet */
	MANAGER_NO_STORE,   /* it keeps no descriptors of our unit over a restart */
	MANAGER_NO_RESTART, /* no restart of our unit is under way */
	MANAGER_RESTART,
};

/* All zero: nothing was asked. */
struct manager {
	struct sd_bus *bus; /* NULL: not connected */
	char *unit;	    /* object path */
	int answer;	    /* enum manager_answer, or -errno */
	int error;	    /* the answer when time is up */
	bool persist;
	int64_t deadline; /* ms of the clock */
	int64_t again;	  /* ms: no new try before this */
};

/*
 * Asks, instead of what was asked before.  Without an answer after timeout_ms
 * the answer is the last error, or -ETIMEDOUT.
 *
 * With persist, an error is taken for a passing one, as while the manager or the
 * bus is executed anew, and the question is asked again until time is up; unless
 * nobody listens where the bus should be.
 */
void manager_ask(struct manager *m, int64_t timeout_ms, bool persist);

/*
 * Writes what to wait for; fd is -1 if nothing is.  Returns after how many
 * milliseconds manager_process() is due in any case, -1: never.
 */
int manager_poll(const struct manager *m, struct pollfd *p);

/*
 * Does what can be done now, of a bounded size, and returns the answer: a value
 * of enum manager_answer, or -errno if there is nobody to ask.
 */
int manager_process(struct manager *m);

/* Drops the question, answered or not. */
void manager_cancel(struct manager *m);

#endif
