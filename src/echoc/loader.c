/* SPDX-License-Identifier: MIT */
#include "echoc/loader.h"

#include <sys/eventfd.h>
#include <sys/prctl.h>

#include "base/clock.h"

#define BATCH 512

/* Connects under way in one loader: fewer than a usual backlog holds. */
#define CONNECTING_MAX 128

/* How often overdue messages are looked for. */
#define EXPIRE_INTERVAL_NS 50000000

static int phase_of(const struct loader *l)
{
	return l->links.phase;
}

/*
 * The phase before the time: a loader that knows of the end has given its links
 * all that was due before it, when it lets the first of them go.
 */
static void look_up(struct loader *l)
{
	l->links.phase = atomic_load(&l->links.plan->phase);
	l->links.now = clock_ns();
}

int loader_init(struct loader *l, struct plan *plan, unsigned number)
{
	return links_init(&l->links, plan, number);
}

void loader_deinit(struct loader *l)
{
	links_deinit(&l->links);
}

static int64_t earliest(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* When the next link should begin to connect; INT64_MAX if none. */
static int64_t connect_time(const struct loader *l)
{
	const struct plan *plan = l->links.plan;

	if (phase_of(l) != PHASE_CONNECT || l->begun == l->links.n ||
	    l->links.n_connecting >= CONNECTING_MAX)
		return INT64_MAX;
	return plan->connect_start +
	       (int64_t)((double)plan->options->ramp * l->begun / (double)l->links.n);
}

/*
 * When the next message is due by the rate; INT64_MAX if none.  What was due
 * before the end is still sent, however late this thread is.
 */
static int64_t message_time(const struct loader *l)
{
	const struct plan *plan = l->links.plan;
	int phase = phase_of(l);
	int64_t time;

	if (phase == PHASE_CONNECT || plan->options->rate == 0 || l->links.left == 0)
		return INT64_MAX;
	time = links_time(&l->links, l->planned);
	return phase == PHASE_TALK || time < atomic_load(&plan->stop) ? time : INT64_MAX;
}

static void do_what_is_due(struct loader *l)
{
	struct links *links = &l->links;

	while (connect_time(l) <= links->now)
		links_connect(links, &links->at[l->begun++]);
	while (message_time(l) <= links->now)
		links_give(links, &links->at[l->planned++ % links->n]);
}

/* Looks for what is overdue, now and then, or after a wake-up. */
static void expire(struct loader *l, bool woken)
{
	struct links *links = &l->links;

	if (!woken && l->expired + EXPIRE_INTERVAL_NS > links->now)
		return;
	l->expired = links->now;
	if (phase_of(l) == PHASE_END && l->end == 0)
		l->end = links->now;
	for (unsigned i = 0; i < links->n; i++)
		links_expire(links, &links->at[i], l->end);
}

static void wait_and_serve(struct loader *l)
{
	struct links *links = &l->links;
	struct epoll_event events[BATCH];
	int64_t next = earliest(connect_time(l), message_time(l));
	int64_t ns = earliest(next, l->expired + EXPIRE_INTERVAL_NS) - clock_ns();
	struct timespec timeout = clock_wait(ns);
	bool woken = false;
	int n;

	n = epoll_pwait2(links->poller.epoll_fd, events, BATCH, &timeout, NULL);
	look_up(l);
	do_what_is_due(l);
	for (int i = 0; i < n; i++) {
		if (poller_is_wake(&links->poller, &events[i]))
			woken = true;
		else
			links_serve(links, events[i].data.fd);
	}
	expire(l, woken);
}

static void *run(void *arg)
{
	struct loader *l = arg;

	pthread_setname_np(pthread_self(), "loader");
	prctl(PR_SET_TIMERSLACK, 1); /* ns: a planned time is to be met */
	look_up(l);
	do_what_is_due(l);
	while (l->links.n_over < l->links.n && phase_of(l) != PHASE_QUIT)
		wait_and_serve(l);
	links_abandon(&l->links);
	atomic_store(&l->has_ended, true);
	(void)eventfd_write(l->links.plan->done_fd, 1);
	return NULL;
}

int loader_start(struct loader *l)
{
	return -pthread_create(&l->thread, NULL, run, l);
}

void loader_join(struct loader *l)
{
	pthread_join(l->thread, NULL);
}
