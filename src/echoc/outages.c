/* SPDX-License-Identifier: MIT */
#include "echoc/outages.h"

#include <string.h>

void outages_init(struct outages *o)
{
	memset(o, 0, sizeof(*o));
	pthread_mutex_init(&o->lock, NULL);
}

/* The one that lasts; or NULL, if it is not kept. */
static struct outage *present(struct outages *o)
{
	return o->n <= OUTAGES_MAX ? &o->at[o->n - 1] : NULL;
}

void outages_begin(struct outages *o, int64_t *away, int64_t since, uint64_t lost)
{
	bool is_first = *away == 0; /* else it was lost before */
	struct outage *last;

	pthread_mutex_lock(&o->lock);
	if (is_first && o->away++ == 0)
		o->n++;
	last = present(o);
	if (last && last->start == 0)
		last->start = since;
	if (last) {
		last->connections += is_first;
		last->lost += lost;
	}
	pthread_mutex_unlock(&o->lock);
	if (is_first)
		*away = since;
}

void outages_end(struct outages *o, int64_t *away, int64_t now, bool served)
{
	struct outage *last;

	pthread_mutex_lock(&o->lock);
	last = present(o);
	if (now - *away > o->longest)
		o->longest = now - *away;
	if (served && --o->away == 0 && last)
		last->end = now;
	pthread_mutex_unlock(&o->lock);
	if (served)
		*away = 0;
}
