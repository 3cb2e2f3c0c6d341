/* SPDX-License-Identifier: MIT */
/*
 * The life of a connection in a worker: adopted, given turns, timed out, ended.
 *
 * Adoption.  The acceptor fills the record and adds the socket to this worker's epoll
 * instance: epoll_ctl(2) is the moment at which the record changes its owner.  A fresh socket
 * is writable, so an event comes at once, by which the worker learns of the connection.
 *
 * Stale events cannot occur.  A descriptor is once in a batch; only this thread closes
 * it, after the batch; and a new socket with its number has a registration of its own.
 *
 * Turns are bounded (connection.c).  A connection that has not seen EAGAIN goes to the
 * end of the ready queue: no stream starves others, no edge is forgotten.
 *
 * Ends.  A socket that is closed while bytes of ours are unacknowledged lives on in the
 * kernel with its send buffer, beyond every limit.  So it is closed only when its
 * client's kernel has everything.  Until then, after our FIN, it is `parting`: it keeps
 * its place in all limits and counts as stalled.  The last acknowledgement makes an edge,
 * and so does an error.
 *
 * Stalled clients are judged by what they have acknowledged, when their time is over.  One
 * byte is not enough: for a packet a minute a client could keep its bytes in memory for ever.
 */
#include "reactor/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/probe.h"
#include "base/tcp.h"

/* Events in a batch: enough that the wait costs each echo little. */
#ifndef BATCH /* a test has few connections */
#define BATCH 512
#endif

/* What a worker watches in every socket. */
#define EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

/* Connections that a timeout may end in one round, some 15 us each. */
#define EXPIRED 64

void worker_deinit(struct worker *w)
{
	poller_deinit(&w->loop.poller);
	pipe_deinit(&w->echo.pipe);
	free(w->echo.buffer);
	w->echo.buffer = NULL;
}

static struct connection *at(const struct worker *w, uint32_t fd)
{
	return connections_at(w->members.all, fd);
}

static int fd_of(const struct worker *w, const struct connection *c)
{
	return (int)connections_index(w->members.all, c);
}

uint64_t worker_open(const struct worker *w)
{
	uint64_t n = counter_get(&w->accepted);

	/* They are not of one instant, and what was before a restart may have wrapped. */
	for (int i = 0; i < CLOSINGS; i++)
		n -= counter_get(&w->closed[i]);
	return (int64_t)n > 0 ? n : 0;
}

/* Counts it as well: before it can be closed and counted as such. */
static void own(struct worker *w, struct connection *c)
{
	atomic_store_explicit(&c->owner, (uint16_t)(w->number + 1), memory_order_relaxed);
	counter_increment(&w->accepted);
}

int worker_adopt(struct worker *w, int fd)
{
	struct connection *c = at(w, (uint32_t)fd);
	int r;

	own(w, c);
	r = poller_add(&w->loop.poller, fd, EVENTS);
	if (r < 0) {
		counter_set(&w->accepted, counter_get(&w->accepted) - 1);
		atomic_store_explicit(&c->owner, 0, memory_order_relaxed);
	}
	return r;
}

/* True if what arrives now is not echoed; a worker that freezes goes on until it ends. */
static bool is_draining(const struct worker *w)
{
	return w->obeyed == DRAIN || w->obeyed == ABORT;
}

static void adopt(struct worker *w, struct connection *c, int64_t since)
{
	c->adopted = true;
	if (is_draining(w))
		c->owed = tcp_arrived(fd_of(w, c));
	connections_add(&w->members, c, since);
	PROBE_ADOPT(fd_of(w, c), w->number);
}

/* The first event comes only if the socket is readable or writable; its timeout runs at once. */
void worker_resume(struct worker *w, int fd)
{
	struct connection *c = at(w, (uint32_t)fd);

	own(w, c);
	adopt(w, c, c->since);
}

/*
 * True if a connection must have a turn for this event.  While it is stalled it
 * does not read, so what its client sends is no reason.  To others "writable"
 * alone says nothing; all else, whatever its name, means that there is something
 * to receive.
 */
static bool is_reason(const struct worker *w, const struct connection *c, uint32_t events)
{
	if (c->stalled)
		return events & (EPOLLOUT | EPOLLHUP | EPOLLERR);
	return is_draining(w) || (events & ~(uint32_t)EPOLLOUT);
}

static void collect(struct worker *w, const struct epoll_event *event)
{
	struct connection *c;

	if (poller_is_wake(&w->loop.poller, event)) /* obey() comes after each batch */
		return;
	c = at(w, (uint32_t)event->data.fd);
	if (!c->adopted)
		adopt(w, c, w->members.now);
	if (c->parting && (event->events & EPOLLERR))
		c->parting = CLOSED_BY_ERROR + 1; /* nothing more will be acknowledged */
	if (is_reason(w, c, event->events))
		connections_enqueue(&w->members, c);
}

/* False if the client must not take this end for that of a whole echo. */
static bool is_whole(const struct connection *c, enum closing reason)
{
	if (reason == CLOSED_BY_SHUTDOWN)
		return c->finished || !c->stalled;
	return reason != CLOSED_BY_ERROR && reason != CLOSED_STALLED;
}

/*
 * Ends a connection that is not ready; error is an errno or 0.  The order matters:
 * an empty record; no owner, with release; its place in the limits, so that a
 * client that has seen the end can come again at once; then close(2), after which
 * the acceptor may get the same descriptor and look at the same record.
 */
static void end(struct worker *w, struct connection *c, enum closing reason, int error)
{
	int fd = fd_of(w, c);
	struct source *source = c->source;

	log_debug("%s: descriptor %d closed (%s) after %llu bytes", w->loop.name, fd,
		  error ? strerrordesc_np(error) : closing_names[reason],
		  (unsigned long long)c->echoed);
	if (!is_whole(c, reason))
		tcp_reset_on_close(fd, true); /* so that no orphan keeps unread bytes, too */
	PROBE_CLOSE(fd, reason, error, c->echoed);
	connections_remove(&w->members, c);
	connection_clear(c, &w->echo);
	atomic_store_explicit(&c->owner, 0, memory_order_release);
	limiter_release(&w->shared->limiter, source);
	counter_increment(&w->closed[reason]);
	close(fd);
}

/* Ends a connection whose echo the kernel has: now, or when the client has it too. */
static void part(struct worker *w, struct connection *c, enum closing reason)
{
	int r = reason == CLOSED_BY_ERROR ? -ECONNRESET : connection_part(c, fd_of(w, c));

	if (r != TURN_STALLED) {
		end(w, c, r < 0 ? CLOSED_BY_ERROR : reason, r < 0 ? -r : 0);
	} else if (!c->parting) {
		c->parting = (uint8_t)(reason + 1);
		connections_restart(&w->members, c, true);
	}
}

static void serve(struct worker *w, struct connection *c)
{
	uint64_t before = c->echoed;
	int r;

	if (c->parting) {
		part(w, c, (enum closing)(c->parting - 1));
		return;
	}
	r = is_draining(w) ? connection_last_turn(c, fd_of(w, c), &w->echo) :
			     connection_turn(c, fd_of(w, c), &w->echo);
	counter_add(&w->echoed, c->echoed - before);
	if (r < 0)
		end(w, c, CLOSED_BY_ERROR, -r);
	else if (r == TURN_END)
		part(w, c, CLOSED_BY_CLIENT);
	else if (c->stalled != (r == TURN_STALLED) || (c->echoed != before && r != TURN_STALLED))
		connections_restart(&w->members, c, r == TURN_STALLED);
	if (r == TURN_MORE)
		connections_enqueue(&w->members, c);
}

/* Gives one turn to each connection that is ready now. */
static void serve_ready(struct worker *w)
{
	uint32_t last = w->members.ready.tail; /* what comes behind it waits for the next round */

	while (w->members.ready.head) {
		uint32_t fd = w->members.ready.head;

		serve(w, connections_dequeue(&w->members));
		if (fd == last)
			break;
	}
}

/* Ends what is overdue, or as much of it as one round may; then the next one follows at once. */
static void expire(struct worker *w)
{
	struct members *m = &w->members;
	struct connection *c;

	for (int i = 0; i < EXPIRED; i++) {
		if ((c = connections_overdue(m, &m->idle, w->shared->idle_ms)))
			part(w, c, CLOSED_IDLE);
		else if (!(c = connections_overdue(m, &m->stalled, w->shared->stall_ms)))
			return;
		else if (connections_is_slow(m, c, w->shared->stall_ms))
			connections_restart(m, c, true);
		else
			end(w, c, CLOSED_STALLED, 0);
	}
}

static void drain(struct worker *w, const struct list *list)
{
	for (uint32_t i = list->head; i; i = at(w, i)->younger) {
		at(w, i)->owed = tcp_arrived((int)i);
		connections_enqueue(&w->members, at(w, i));
	}
}

static void end_all(struct worker *w, const struct list *list)
{
	w->members.ready.head = 0;
	while (list->head)
		end(w, at(w, list->head), CLOSED_BY_SHUTDOWN, 0);
}

static void obey(struct worker *w)
{
	enum loop_command command = w->loop.command;

	w->echo.budget = w->shared->pending_memory;
	if (command == DRAIN && w->obeyed == RUN) {
		drain(w, &w->members.idle);
		drain(w, &w->members.stalled);
	}
	if (command == ABORT) {
		end_all(w, &w->members.idle);
		end_all(w, &w->members.stalled);
	}
	w->obeyed = command;
}

static void pass_round(struct worker *w, const struct epoll_event *events, int n)
{
	/* One that is being added is counted already; the eventfd is watched, too. */
	connections_settle(&w->members, n, BATCH, n < BATCH ? 0 : worker_open(w) + 1);
	for (int i = 0; i < n; i++)
		collect(w, &events[i]);
	obey(w);
	serve_ready(w);
	expire(w);
}

static bool is_done(const struct worker *w)
{
	return w->obeyed == FREEZE || (w->obeyed != RUN && worker_open(w) == 0);
}

/* Watches what worker_resume() has put into a list; now that we run, a FIN may end it again. */
static void watch_all(struct worker *w, const struct list *list)
{
	for (uint32_t i = list->head, next; i; i = next) {
		struct connection *c = at(w, i);
		int r = poller_add(&w->loop.poller, (int)i, EVENTS);

		next = c->younger;
		if (c->pending)
			tcp_reset_on_close((int)i, false);
		if (r < 0)
			end(w, c, CLOSED_BY_ERROR, -r);
	}
}

static void run(void *arg)
{
	struct worker *w = arg;
	struct shared *s = w->shared;
	struct epoll_event events[BATCH];

	w->members.now = clock_ms();
	watch_all(w, &w->members.idle);
	watch_all(w, &w->members.stalled);
	sem_post(&s->started);
	obey(w);
	while (!is_done(w)) {
		int timeout = connections_wait(&w->members, s->idle_ms, s->stall_ms);

		pass_round(w, events, loop_wait(&w->loop, events, BATCH, timeout));
	}
}

int worker_init(struct worker *w, struct shared *shared, unsigned number)
{
	char name[sizeof(w->loop.name)];
	int r;

	memset(w, 0, sizeof(*w));
	w->shared = shared;
	w->number = number;
	w->members.all = &shared->connections;
	snprintf(name, sizeof(name), "worker/%u", number);
	w->echo.size = shared->buffer_size;
	w->echo.buffer = malloc(w->echo.size);
	if (!w->echo.buffer)
		return -ENOMEM;
	r = loop_init(&w->loop, name, shared->main_fd, shared->trace, run, w);
	if (r < 0)
		free(w->echo.buffer);
	else
		pipe_init(&w->echo.pipe);
	return r;
}
