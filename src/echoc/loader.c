/* SPDX-License-Identifier: MIT */
#include "echoc/loader.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/param.h>
#include <sys/prctl.h>

#include "base/clock.h"
#include "echoc/dial.h"
#include "echoc/link.h"

#define BATCH 512

/* Messages that are given out in one turn; beyond it a loader would not see its sockets and the
 * end. */
#define BURST 16384

/*
 * Connects under way in one loader: fewer than a usual backlog holds.  While none of
 * them succeeds or fails, twice as many each time: an address that does not answer
 * costs one --connect-timeout, not one for each so many.
 */
#define WINDOW 128

/* How often overdue messages are looked for, and lost connections to be made again. */
#define EXPIRE_NS 50000000
#define RECONNECT_NS 5000000

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
	l->links.window = WINDOW;
	l->has_pwait2 = true;
	return links_init(&l->links, plan, number);
}

void loader_deinit(struct loader *l)
{
	links_deinit(&l->links);
}

/* When the next link should begin to connect; INT64_MAX if none. */
static int64_t connect_time(const struct loader *l)
{
	const struct plan *plan = l->links.plan;

	if (phase_of(l) != PHASE_CONNECT || l->begun == l->links.n ||
	    l->links.n_connecting >= l->links.window)
		return INT64_MAX;
	return plan->connect_start +
	       (int64_t)((double)plan->options->ramp * l->begun / (double)l->links.n);
}

/*
 * When the next message is due by the rate; INT64_MAX if none.  What was due
 * before the end is still given out, in one burst.
 */
static int64_t message_time(const struct loader *l)
{
	const struct links *links = &l->links;
	int64_t time;

	if (phase_of(l) == PHASE_CONNECT || links->plan->options->rate == 0 || links->left == 0 ||
	    links->end)
		return INT64_MAX;
	time = plan_time(links->plan, links->number, l->planned);
	return time < links->plan->stop ? time : INT64_MAX;
}

static void do_what_is_due(struct loader *l)
{
	struct links *links = &l->links;
	int64_t time;

	while (connect_time(l) <= links->now)
		dial_connect(links, &links->at[l->begun++]);
	for (int i = 0; i < BURST && (time = message_time(l)) <= links->now; i++)
		link_give(links, &links->at[l->planned++ % links->n], time);
}

static int64_t expire_time(const struct loader *l)
{
	return l->expired + (l->links.n_away > 0 ? RECONNECT_NS : EXPIRE_NS);
}

/* Looks for what is overdue, now and then, or after a wake-up. */
static void expire(struct loader *l, bool woken)
{
	struct links *links = &l->links;

	if (!woken && expire_time(l) > links->now)
		return;
	l->expired = links->now;
	if (phase_of(l) >= PHASE_END && links->end == 0)
		links->end = links->now;
	if (links->n_connecting >= links->window && links->n_tried == l->tried)
		links->window *= 2;
	l->tried = links->n_tried;
	for (unsigned i = 0; i < links->n; i++)
		link_expire(links, &links->at[i]);
}

/* The number of events; 0 also if it was interrupted. */
static int wait(struct loader *l, struct epoll_event *events, int64_t ns)
{
	int fd = l->links.poller.epoll_fd, n = -1;
	struct timespec timeout = clock_wait(ns);

	if (l->has_pwait2)
		n = epoll_pwait2(fd, events, BATCH, &timeout, NULL);
	if (n < 0 && errno == ENOSYS)
		l->has_pwait2 = false;
	if (!l->has_pwait2)
		n = epoll_wait(fd, events, BATCH, ns < 0 ? 0 : (int)((ns + 999999) / 1000000));
	return n < 0 ? 0 : n;
}

static void wait_and_serve(struct loader *l)
{
	struct links *links = &l->links;
	struct epoll_event events[BATCH];
	int64_t connect = connect_time(l), message = message_time(l), expiry = expire_time(l);
	int64_t next = MIN(MIN(connect, message), expiry), before = clock_ns();
	bool woken = false;
	int n;

	n = wait(l, events, next - before);
	look_up(l);
	do_what_is_due(l);
	for (int i = 0; i < n; i++) {
		if (poller_is_wake(&links->poller, &events[i]))
			woken = true;
		else
			link_serve(links, links->by_fd[events[i].data.fd]);
	}
	if (n < BATCH) /* it was all that there was */
		links->settled = before;
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
	for (unsigned i = 0; i < l->links.n; i++)
		link_abandon(&l->links, &l->links.at[i]);
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
