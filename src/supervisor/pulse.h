/*
 * pulse: what the service manager is told from time to time: that every thread
 * is alive, and how many connections there are.
 *
 * Asleep is healthy, stuck is not.  At each beat the acceptor and every worker
 * are asked to come round (loop_ask()); the watchdog is fed at the next beat,
 * and only if all have answered.  A beat is a quarter of the watchdog's time,
 * so that one late answer does no harm.
 *
 * Without a service manager there is no pulse, and nobody wakes up.
 * Main thread only.
 */
#ifndef ECHOD_PULSE_H
#define ECHOD_PULSE_H

#include "reactor/reactor.h"

struct pulse {
	int64_t beat;	  /* ms between two; 0: there is no pulse */
	int64_t next;	  /* ms of the clock */
	bool watched;	  /* there is a watchdog to be fed */
	bool complaining; /* who is stuck stands in the log */
	int64_t told;	  /* ms: when the status was told, and what it was */
	uint64_t open, refused;
	const char *remark; /* at the end of the status, a constant; or NULL */
};

/* After the threads have started. */
void pulse_start(struct pulse *p, struct reactor *r);

/* The milliseconds until pulse_beat() is due, -1: never. */
int pulse_wait(const struct pulse *p);

/* Does what is due now, perhaps nothing. */
void pulse_beat(struct pulse *p, struct reactor *r);

/* Writes the status, the text of STATUS=, and takes it for told. */
const char *pulse_status(struct pulse *p, const struct reactor *r, char *text, size_t size);

#endif
