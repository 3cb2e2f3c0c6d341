/*
 * timeouts: a worker's connections by age, and which of them are overdue.
 *
 * Every adopted connection is in one of two lists, each in the order of last
 * progress.  `idle`: nothing was echoed for idle_ms.  `stalled`: bytes of ours
 * wait for the client, and it acknowledged too few in stall_ms.  A timeout of
 * 0 is none.
 *
 * Only the worker that owns it and its connections calls these functions;
 * others may write the two timeouts at any time.
 */
#ifndef ECHOD_TIMEOUTS_H
#define ECHOD_TIMEOUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reactor/connections.h"

/* Bytes a second that a client must take, on average over stall_ms, to be not stalled but slow. */
#define TIMEOUTS_RATE 500

struct timeouts {
	const struct connections *connections;
	_Atomic int64_t idle_ms, stall_ms;
	struct list idle, stalled;
	int64_t now;	  /* ms of the clock, read once a batch */
	int64_t before;	  /* the same of the batch before, so from before the wait */
	int64_t settled;  /* every event up to this time has been collected */
	int64_t mark;	  /* the time that will be settled next, */
	uint64_t waiting; /* after as many events; 0: there is no mark */
};

/* Puts c, which is in no list, into its list; its time is not before that of any other. */
void timeouts_add(struct timeouts *t, struct connection *c, int64_t since);

/* c has made progress, or is stalled now, or no longer: its time begins anew. */
void timeouts_restart(struct timeouts *t, struct connection *c, bool stalled);

void timeouts_remove(struct timeouts *t, struct connection *c);

/* Reads the clock, once after each wait. */
void timeouts_tick(struct timeouts *t);

/*
 * After timeouts_tick(): n events of at most max came.  No more than `watched`
 * sockets are watched, those included which are being added at this moment.
 */
void timeouts_collected(struct timeouts *t, size_t n, size_t max, uint64_t watched);

/* The idle, the stalled connection that has been overdue longest, or NULL. */
struct connection *timeouts_idle(const struct timeouts *t);
struct connection *timeouts_stalled(const struct timeouts *t);

/* True if a stalled connection took enough since its time began. */
bool timeouts_is_slow(const struct timeouts *t, const struct connection *c);

/* How long to wait, in milliseconds, until someone may be overdue; -1: for ever. */
int timeouts_patience(const struct timeouts *t);

#endif
