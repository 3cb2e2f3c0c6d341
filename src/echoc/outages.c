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

void outages_begin(struct outages *o, int64_t now, uint64_t lost)
{
	struct outage *last;

	pthread_mutex_lock(&o->lock);
	if (o->away++ == 0)
		o->n++;
	last = present(o);
	if (last && last->start == 0)
		last->start = now;
	if (last) {
		last->connections++;
		last->lost += lost;
	}
	pthread_mutex_unlock(&o->lock);
}

void outages_lose(struct outages *o, uint64_t lost)
{
	struct outage *last;

	pthread_mutex_lock(&o->lock);
	last = present(o);
	if (last)
		last->lost += lost;
	pthread_mutex_unlock(&o->lock);
}

void outages_end(struct outages *o, int64_t start, int64_t now, bool served)
{
	struct outage *last;

	pthread_mutex_lock(&o->lock);
	last = present(o);
	if (now - start > o->longest)
		o->longest = now - start;
	if (last && now - start > last->longest)
		last->longest = now - start;
	if (served && --o->away == 0 && last)
		last->end = now;
	pthread_mutex_unlock(&o->lock);
}
