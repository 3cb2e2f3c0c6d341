/*
 * The next timeout is at the head of a list.  Without connections, or without
 * timeouts, the wait is endless: no wake-ups.
 *
 * What the clock says is not enough.  After a pause of ours (a stopped process,
 * a suspended machine, or just much work) everyone seems overdue, while their
 * bytes wait in the kernel.  So a connection is overdue only as of a time of
 * which every event has been collected:
 *
 *   - A batch that is not full has emptied epoll's ready list, so it settles
 *     the time before the wait.
 *   - While batches are full, a mark is set: the time, and how many sockets are
 *     watched then.  The ready list is first in, first out, and has a socket
 *     once (epoll_wait(2): "round robin"), so after that many events the time
 *     of the mark is settled, and the next mark is set.
 *
 * Stalled.  The kernel takes bytes of ours in large steps, only when a good
 * part of its send buffer is free again.  So a stalled connection is judged
 * by what its client has acknowledged, which is asked when its time is over,
 * and not before.  One byte is not enough, for a client could then keep its
 * bytes in memory for ever at the cost of a packet a minute.
 */
#include "reactor/timeouts.h"

#include <limits.h>

#include "base/clock.h"

static int64_t get(const _Atomic int64_t *ms)
{
	return atomic_load_explicit(ms, memory_order_relaxed);
}

static int fd_of(const struct timeouts *t, const struct connection *c)
{
	return (int)connections_index(t->connections, c);
}

static struct list *list_of(struct timeouts *t, const struct connection *c)
{
	return c->stalled ? &t->stalled : &t->idle;
}

/* How far the client is in the stream of its echo. */
static uint64_t position(const struct timeouts *t, const struct connection *c)
{
	return c->echoed - connection_unacknowledged(fd_of(t, c));
}

void timeouts_add(struct timeouts *t, struct connection *c, int64_t since)
{
	c->since = since;
	connections_append(t->connections, list_of(t, c), c);
}

void timeouts_restart(struct timeouts *t, struct connection *c, bool stalled)
{
	if (c->since == t->now && c->stalled == stalled)
		return; /* none behind it is younger */
	timeouts_remove(t, c);
	c->stalled = stalled;
	if (stalled)
		c->acknowledged = position(t, c);
	timeouts_add(t, c, t->now);
}

void timeouts_remove(struct timeouts *t, struct connection *c)
{
	connections_remove(t->connections, list_of(t, c), c);
}

void timeouts_tick(struct timeouts *t)
{
	t->before = t->now;
	t->now = clock_ms();
}

void timeouts_collected(struct timeouts *t, size_t n, size_t max, uint64_t watched)
{
	if (n < max) {
		t->settled = t->before;
		t->waiting = 0;
	} else if (t->waiting > n) {
		t->waiting -= n;
	} else {
		if (t->waiting > 0)
			t->settled = t->mark;
		t->mark = t->now;
		t->waiting = watched;
	}
}

/* The head, if it is not ready and nothing has happened there for the timeout; else NULL. */
static struct connection *overdue(const struct timeouts *t, const struct list *list,
				  int64_t timeout)
{
	struct connection *c = list->head ? connections_at(t->connections, list->head) : NULL;

	return timeout && c && !c->ready && c->since + timeout <= t->settled ? c : NULL;
}

struct connection *timeouts_idle(const struct timeouts *t)
{
	return overdue(t, &t->idle, get(&t->idle_ms));
}

struct connection *timeouts_stalled(const struct timeouts *t)
{
	return overdue(t, &t->stalled, get(&t->stall_ms));
}

bool timeouts_is_slow(const struct timeouts *t, const struct connection *c)
{
	uint32_t left = connection_unacknowledged(fd_of(t, c));
	int64_t taken = (int64_t)(c->echoed - left - c->acknowledged);

	return left == 0 || taken * 1000 >= get(&t->stall_ms) * TIMEOUTS_RATE;
}

/* When the head is overdue, in ms of the clock; INT64_MAX: never. */
static int64_t due(const struct timeouts *t, const struct list *list, int64_t timeout)
{
	return timeout && list->head ? connections_at(t->connections, list->head)->since + timeout :
				       INT64_MAX;
}

int timeouts_patience(const struct timeouts *t)
{
	int64_t idle = due(t, &t->idle, get(&t->idle_ms));
	int64_t stalled = due(t, &t->stalled, get(&t->stall_ms));
	int64_t next = idle < stalled ? idle : stalled;

	if (next == INT64_MAX)
		return -1;
	next -= t->now;
	return next < 0 ? 0 : next > INT_MAX ? INT_MAX : (int)next;
}
