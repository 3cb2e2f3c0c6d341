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
	unsigned connections; /* losses of them, perhaps of one several times */
	uint64_t lost;	      /* messages */
};

struct outages {
	pthread_mutex_t lock;
	unsigned away;	 /* connections now */
	unsigned n;	 /* outages ever */
	int64_t longest; /* that one connection was away */
	struct outage at[OUTAGES_MAX];
};

void outages_init(struct outages *o);

/*
 * A connection was lost at a time, with so many messages.  *away is since when it is not
 * served, 0: it was; one that was away already has lost more on the way back.
 */
void outages_begin(struct outages *o, int64_t *away, int64_t since, uint64_t lost);

/* A connection that is away is served again, and *away 0; or not, and its outage lasts. */
void outages_end(struct outages *o, int64_t *away, int64_t now, bool served);

#endif
