/* SPDX-License-Identifier: MIT */
/*
 * job: asks systemd, without waiting for it, what its job for our unit is: a
 * restart or a stop, which SIGTERM does not say (org.freedesktop.systemd1(5)).
 *
 * systemd is that of the system, on the system bus, or, if MANAGERPID is set
 * (systemd.exec(5)), that of a user, on the bus of that user.
 *
 * Life of a question: job_ask(); then, until there is an answer, poll(2) with
 * what job_poll() says, and job_process(); job_cancel().  Main thread only.
 */
#ifndef ECHOD_JOB_H
#define ECHOD_JOB_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

enum job_answer {
	JOB_ASKING,   /* not known yet */
	JOB_NO_STORE, /* our unit has no file descriptor store */
	JOB_OTHER,    /* a stop, or no job */
	JOB_RESTART,
};

struct sd_bus_message;

/* All zero: nothing was asked. */
struct job {
	struct sd_bus *bus;					    /* NULL: not connected */
	char *unit;						    /* object path */
	int (*read)(struct job *job, struct sd_bus_message *reply); /* reads the next reply */
	int answer;						    /* enum job_answer, or -errno */
	int error; /* the answer after the deadline */
	bool persist;
	int64_t deadline; /* ms of the clock */
	int64_t again;	  /* ms: no new try before this */
};

/*
 * Asks, instead of what was asked before.  Without an answer after timeout_ms
 * the answer is the last error, or -ETIMEDOUT.
 *
 * With persist, an error is taken for a passing one, as while systemd or the
 * bus is executed anew, and the question is asked again until the deadline;
 * unless nothing listens where the bus should be.
 */
void job_ask(struct job *job, int64_t timeout_ms, bool persist);

/*
 * Writes what to wait for; fd is -1 if nothing is.  Returns when job_process()
 * is due in any case, in ms of the clock; INT64_MAX: never.
 */
int64_t job_poll(const struct job *job, struct pollfd *p);

/* Does what can be done now, and returns the answer: an enum job_answer, or -errno. */
int job_process(struct job *job);

/* Drops the question, answered or not. */
void job_cancel(struct job *job);

#endif
