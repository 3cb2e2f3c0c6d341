/* SPDX-License-Identifier: MIT */
/*
 * outages: when a service was away, with --reconnect.
 *
 * A connection is away from its loss until it is served again.  An outage lasts while
 * any connection is away, so that a restart which drops a thousand is one.  The first
 * OUTAGES_MAX are kept, later ones are only counted.
 *
 * Any thread; times are in ns of the clock.
 */
#ifndef ECHOC_OUTAGES_H
#define ECHOC_OUTAGES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define OUTAGES_MAX 1000

struct outage {
	int64_t start, end;   /* end 0: it lasts */
	int64_t longest;      /* that one connection was away */
	unsigned connections; /* losses of them, perhaps of one several times */
	uint64_t lost;	      /* messages */
};

struct outages {
	pthread_mutex_t lock;
	unsigned away; /* connections now */
	unsigned n;    /* outages ever */
	int64_t longest;
	struct outage at[OUTAGES_MAX];
};

void outages_init(struct outages *o);

/* A connection was lost, with so many messages. */
void outages_begin(struct outages *o, int64_t now, uint64_t lost);

/* A connection that is away has lost more messages on the way back. */
void outages_lose(struct outages *o, uint64_t lost);

/* A connection that was lost at `start` is served again; or not, and its outage lasts. */
void outages_end(struct outages *o, int64_t start, int64_t now, bool served);

#endif
