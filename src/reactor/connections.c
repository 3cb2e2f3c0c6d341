/* SPDX-License-Identifier: MIT */
/*
 * When a connection is overdue.  What the clock says is not enough: after a pause
 * of the process (it was stopped, the machine was suspended, or there was just much
 * to do) every connection seems overdue, while its bytes wait in the kernel.  So a
 * connection is overdue only as of a time of which every event has been collected:
 *
 *   - A batch that is not full has emptied epoll's ready list, so it settles
 *     the time before the wait.
 *   - While batches are full, a mark is set: the time, and how many sockets are
 *     watched then.  The ready list is first in, first out, and has a socket
 *     once (epoll_wait(2): "round robin"), so after that many events the time
 *     of the mark is settled, and the next mark is set.
 */
#include "reactor/connections.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/param.h>

#include "base/clock.h"
#include "base/tcp.h"

static size_t bytes(uint32_t size)
{
	return size * sizeof(struct connection);
}

int connections_init(struct connections *all, uint32_t size)
{
	void *memory = mmap(NULL, bytes(size), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
	all->records = memory;
	all->size = size;
	return 0;
}

void connections_deinit(struct connections *all)
{
	if (all->records)
		munmap(all->records, bytes(all->size));
	all->records = NULL;
	all->size = 0;
}

static void append(const struct connections *all, struct list *list, struct connection *c)
{
	uint32_t index = connections_index(all, c);

	c->older = list->tail;
	c->younger = 0;
	if (list->tail)
		connections_at(all, list->tail)->younger = index;
	else
		list->head = index;
	list->tail = index;
}

static void take_out(const struct connections *all, struct list *list, struct connection *c)
{
	if (c->older)
		connections_at(all, c->older)->younger = c->younger;
	else
		list->head = c->younger;
	if (c->younger)
		connections_at(all, c->younger)->older = c->older;
	else
		list->tail = c->older;
	c->older = c->younger = 0;
}

static struct list *list_of(struct members *m, const struct connection *c)
{
	return c->stalled ? &m->stalled : &m->idle;
}

void connections_add(struct members *m, struct connection *c, int64_t since)
{
	c->since = since;
	append(m->all, list_of(m, c), c);
}

void connections_remove(struct members *m, struct connection *c)
{
	take_out(m->all, list_of(m, c), c);
}

void connections_restart(struct members *m, struct connection *c, bool stalled)
{
	int fd = (int)connections_index(m->all, c);

	if (c->since == m->now && c->stalled == stalled)
		return; /* none behind it is younger */
	connections_remove(m, c);
	c->stalled = stalled;
	if (stalled)
		c->acknowledged = c->echoed - tcp_unacknowledged(fd);
	connections_add(m, c, m->now);
}

void connections_enqueue(struct members *m, struct connection *c)
{
	uint32_t index = connections_index(m->all, c);

	if (c->ready)
		return;
	c->ready = true;
	c->next_ready = 0;
	if (m->ready.head)
		connections_at(m->all, m->ready.tail)->next_ready = index;
	else
		m->ready.head = index;
	m->ready.tail = index;
}

struct connection *connections_dequeue(struct members *m)
{
	struct connection *c = connections_at(m->all, m->ready.head);

	m->ready.head = c->next_ready;
	c->ready = false;
	return c;
}

void connections_settle(struct members *m, int n, int max, uint64_t watched)
{
	int64_t before = m->now;

	m->now = clock_ms();
	if (n < max) {
		m->settled = before;
		m->waiting = 0;
	} else if (m->waiting > (uint64_t)n) {
		m->waiting -= (uint64_t)n;
	} else {
		if (m->waiting > 0)
			m->settled = m->mark;
		m->mark = m->now;
		m->waiting = watched;
	}
}

struct connection *connections_overdue(const struct members *m, const struct list *list,
				       int64_t timeout_ms)
{
	struct connection *c = list->head ? connections_at(m->all, list->head) : NULL;

	return timeout_ms && c && !c->ready && c->since + timeout_ms <= m->settled ? c : NULL;
}

bool connections_is_slow(const struct members *m, const struct connection *c, int64_t stall_ms)
{
	uint32_t left = tcp_unacknowledged((int)connections_index(m->all, c));
	int64_t taken = (int64_t)(c->echoed - left - c->acknowledged);

	return left == 0 || taken * 1000 >= stall_ms * CONNECTIONS_SLOW_RATE;
}

/* When the head is overdue, in ms of the clock; INT64_MAX: never. */
static int64_t due(const struct members *m, const struct list *list, int64_t timeout_ms)
{
	return timeout_ms && list->head ? connections_at(m->all, list->head)->since + timeout_ms :
					  INT64_MAX;
}

int connections_wait(const struct members *m, int64_t idle_ms, int64_t stall_ms)
{
	int64_t idle = due(m, &m->idle, idle_ms), stalled = due(m, &m->stalled, stall_ms);

	return m->ready.head ? 0 : clock_timeout(MIN(idle, stalled), m->now);
}
