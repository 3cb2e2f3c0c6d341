/* SPDX-License-Identifier: MIT */
#include "echoc/dial.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

/* The first and the longest pause before a lost connection is tried again. */
#define PAUSE_NS 5000000
#define PAUSE_MAX_NS 20000000

void dial_close(struct links *l, struct link *k)
{
	close(k->fd);
	atomic_fetch_sub(&l->open, 1);
}

void dial_note_tried(struct links *l, struct link *k)
{
	if (k->tried)
		return;
	k->tried = true;
	if (++l->n_tried == l->n) {
		atomic_store(&l->has_tried, true);
		(void)eventfd_write(l->plan->done_fd, 1);
	}
}

bool dial_is_late(const struct links *l)
{
	return l->end && l->end + l->plan->options->timeout < l->now;
}

void dial_forget(struct links *l, struct link *k)
{
	for (; k->taken < k->due && !plan_counts(l->plan, links_time(l, k, k->taken)); k->taken++)
		continue;
	if (k->due > k->taken) /* with a rate */
		counter_add(&l->tally.unsent, k->due - k->taken);
	if (k->lost_at)
		outages_end(&l->plan->outages, &k->lost_at, l->now, false);
}

void dial_over(struct links *l, struct link *k)
{
	dial_forget(l, k);
	k->state = OVER;
	l->n_over++;
	dial_note_tried(l, k);
}

void dial_note_error(struct links *l, const struct link *k, int error)
{
	int none = 0;

	if (error == 0 || k->lost_at) /* else it is one of many tries */
		return;
	tally_error(&l->tally, error);
	(void)atomic_compare_exchange_strong(&l->error, &none, error);
}

void dial_go_away(struct links *l, struct link *k, int64_t since, uint64_t lost)
{
	int64_t pause;

	outages_begin(&l->plan->outages, &k->lost_at, since, lost);
	pause = PAUSE_NS + (l->now - k->lost_at) / 16;
	k->began = l->now + (pause < PAUSE_MAX_NS ? pause : PAUSE_MAX_NS);
	k->state = AWAY;
	l->n_away++;
	dial_note_tried(l, k);
}

/* No address of the target can be connected to. */
static void give_up_connect(struct links *l, struct link *k, int error)
{
	dial_note_error(l, k, error);
	if (l->plan->options->reconnect && !l->end) {
		dial_go_away(l, k, l->now, 0);
		return;
	}
	counter_increment(&l->tally.connect_failures);
	dial_over(l, k);
}

/* The number of a link's connection among all. */
static uint64_t number_of(const struct links *l, const struct link *k)
{
	const struct options *o = l->plan->options;

	return l->number + (uint64_t)(k - l->at) * o->threads + (uint64_t)k->made * o->connections;
}

/* Begins with one address of the target, after k->tries others.  0 or -errno. */
static int begin(struct links *l, struct link *k)
{
	const struct options *o = l->plan->options;
	const struct target *t = l->plan->target;
	uint64_t number = number_of(l, k);
	int r;

	k->began = clock_ns();
	k->fd = target_begin(&t->addresses[(k->first + k->tries) % t->n],
			     o->n_sources ? &o->sources[number % o->n_sources] : NULL);
	if (k->fd < 0)
		return k->fd;
	r = links_watch(l, k);
	if (r < 0)
		close(k->fd);
	return r;
}

/* Tries the addresses that are left; error is why the one before could not be used. */
static void try_addresses(struct links *l, struct link *k, int error)
{
	for (; k->tries < l->plan->target->n && !dial_is_late(l); k->tries++) {
		int r = begin(l, k);

		if (r == 0) {
			atomic_fetch_add(&l->open, 1);
			stream_begin(&k->stream, l->plan->options->seed, number_of(l, k));
			k->state = CONNECTING;
			l->n_connecting++;
			return;
		}
		error = -r;
	}
	give_up_connect(l, k, error);
}

void dial_connect(struct links *l, struct link *k)
{
	l->n_away -= k->state == AWAY;
	k->first = l->plan->answered;
	k->tries = 0;
	try_addresses(l, k, ETIMEDOUT);
}

void dial_retry(struct links *l, struct link *k, int error)
{
	l->n_connecting--;
	dial_close(l, k);
	k->tries++;
	try_addresses(l, k, error);
}

void dial_give_up(struct links *l, struct link *k)
{
	l->n_connecting--;
	dial_close(l, k);
	dial_over(l, k);
}

void dial_come_back(struct links *l, struct link *k)
{
	outages_end(&l->plan->outages, &k->lost_at, clock_ns(), true);
}
