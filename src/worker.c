/*
 * The reactor.
 *
 * Each round: wait, collect the batch, obey main, give every ready connection
 * one turn, close what is overdue.  A turn is bounded (connection.c); who is
 * not through with it goes to the end of the ready queue, and while that queue
 * is not empty the wait does not block.  So one client's stream cannot starve
 * the others, and no edge is forgotten: a connection that has not seen EAGAIN
 * is always on the queue.
 *
 * Adoption.  The acceptor fills the record and then adds the socket to this
 * worker's epoll instance: the kernel is the mailbox, and epoll_ctl(2) the
 * moment at which the record changes hands.  A fresh socket is writable, so an
 * event comes at once, and by it the worker learns of its new connection.
 * That registration is the only one, for all events, until close(2) ends it.
 *
 * Stale events cannot occur.  A descriptor is once in a batch; it is closed
 * only by this thread and after the batch was collected; and a new socket
 * with its number has a registration of its own.
 *
 * Time.  Every adopted connection is in one of two lists, idle or stalled,
 * both in the order of last progress, so that the next timeout is at a head.
 * Without connections (or timeouts) the wait is endless: no wake-ups.  A
 * connection is overdue only if it already was before the wait, and the wait
 * then had no event for it: after a pause of ours (a stopped process, a
 * suspended machine) the clock says that everyone is overdue, while their
 * bytes wait in the kernel.
 *
 * Stalled.  The kernel takes bytes of ours in large steps, only when a good
 * part of its send buffer is free again.  A client that reads slowly can take
 * longer than stall_timeout for one step, so before it is closed the kernel is
 * asked whether less is unacknowledged than when the time began.
 *
 * Freezing.  The thread ends between two rounds, so the records say all there is
 * to say.  A new registration reports anew what is ready, see takeover.c.
 *
 * Draining.  The acceptor has ended before, so `accepted` stands still, and the
 * thread ends when as many connections have been closed.  Each one is served
 * until EAGAIN, then gets our FIN; what its client still sends is thrown away
 * until its own FIN comes.  Those that nobody has adopted yet are still in
 * the epoll instance with their first event, and go the same way.
 */
#include "worker.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "confine.h"
#include "log.h"
#include "probe.h"

/* Events in a batch: enough that the wait costs each echo little. */
#define BATCH 512

/* What a worker watches in every socket. */
#define EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

enum order { SERVE, DRAIN, ABORT, FREEZE };

int worker_init(struct worker *w, const struct worker_config *config)
{
	int r;

	memset(w, 0, sizeof(*w));
	w->config = *config;
	snprintf(w->name, sizeof(w->name), "worker/%u", config->number);
	r = poller_init(&w->poller, w->name, config->trace);
	if (r < 0)
		return r;
	w->echo.size = config->buffer_size;
	w->echo.buffer = malloc(config->buffer_size);
	if (!w->echo.buffer) {
		poller_deinit(&w->poller);
		return -ENOMEM;
	}
	conduit_init(&w->echo.conduit);
	return 0;
}

void worker_deinit(struct worker *w)
{
	poller_deinit(&w->poller);
	conduit_deinit(&w->echo.conduit);
	free(w->echo.buffer);
	w->echo.buffer = NULL;
}

void worker_set(struct worker *w, const struct worker_settings *settings)
{
	atomic_store(&w->idle_ms, settings->idle_timeout * 1000);
	atomic_store(&w->stall_ms, settings->stall_timeout * 1000);
	atomic_store(&w->pending_memory, (size_t)settings->pending_memory);
	poller_wake(&w->poller);
}

int worker_adopt(struct worker *w, int fd)
{
	struct connection *c = table_at(w->config.table, (uint32_t)fd);
	int r;

	atomic_store_explicit(&c->owner, w->config.number + 1, memory_order_relaxed);
	counter_increment(&w->accepted); /* before it can be closed and counted as such */
	r = poller_add(&w->poller, fd, EVENTS);
	if (r < 0) {
		counter_set(&w->accepted, counter_get(&w->accepted) - 1);
		atomic_store_explicit(&c->owner, 0, memory_order_relaxed);
	}
	return r;
}

uint64_t worker_open(const struct worker *w)
{
	uint64_t closed = counter_get(&w->closed_total);
	uint64_t accepted = counter_get(&w->accepted);

	/* They are not of one instant, and what was before a restart may have wrapped. */
	return (int64_t)(accepted - closed) > 0 ? accepted - closed : 0;
}

static struct connection *at(const struct worker *w, uint32_t index)
{
	return table_at(w->config.table, index);
}

static int fd_of(const struct worker *w, const struct connection *c)
{
	return (int)table_index(w->config.table, c);
}

static struct list *list_of(struct worker *w, const struct connection *c)
{
	return c->stalled ? &w->stalled : &w->idle;
}

/* Puts c at the end of its list, for it has made progress or changes lists. */
static void file(struct worker *w, struct connection *c, bool stalled)
{
	if (c->since == w->now && c->stalled == stalled)
		return; /* none behind it is younger */
	list_remove(list_of(w, c), w->config.table, c);
	c->stalled = stalled;
	c->since = w->now;
	if (stalled)
		c->unacknowledged = connection_unacknowledged(fd_of(w, c));
	list_append(list_of(w, c), w->config.table, c);
}

/*
 * Ends a connection that is not on the ready queue.  The order matters: an
 * empty record, then "nobody" with release, then close(2), after which the
 * acceptor may get the same descriptor and look at the same record.
 */
static void end(struct worker *w, struct connection *c, enum closing reason, int error)
{
	int fd = fd_of(w, c);
	struct source *source = c->source;

	log_debug("%s: descriptor %d closed (%s) after %llu bytes", w->name, fd,
		  error ? strerrordesc_np(error) : closing_name(reason),
		  (unsigned long long)c->echoed);
	if (reason == CLOSED_BY_ERROR || (c->stalled && reason != CLOSED_BY_CLIENT))
		connection_reset_on_close(fd); /* also so that no orphan keeps what nobody reads */
	PROBE_CLOSE(fd, reason, error, c->echoed);
	list_remove(list_of(w, c), w->config.table, c);
	connection_clear(c, &w->echo);
	atomic_store_explicit(&c->owner, 0, memory_order_release);
	close(fd);
	limiter_release(w->config.limiter, source);
	counter_increment(&w->closed[reason]);
	counter_increment(&w->closed_total);
}

/* All that had arrived is echoed: our FIN says so. */
static void finish(struct connection *c, int fd)
{
	c->finished = true;
	(void)shutdown(fd, SHUT_WR); /* if it is broken, the next turn shows it */
}

static void serve(struct worker *w, struct connection *c)
{
	int fd = fd_of(w, c);
	uint64_t before = c->echoed;
	int r = c->finished ? connection_discard(fd, &w->echo) : connection_turn(c, fd, &w->echo);

	counter_set(&w->received, w->echo.received);
	counter_add(&w->echoed, c->echoed - before);
	if (r == TURN_END || r < 0) {
		end(w, c, r < 0 ? CLOSED_BY_ERROR : CLOSED_BY_CLIENT, r < 0 ? -r : 0);
		return;
	}
	if (c->echoed != before || c->stalled != (r == TURN_STALLED))
		file(w, c, r == TURN_STALLED);
	if (r == TURN_MORE)
		queue_put(&w->ready, w->config.table, c);
	else if (r == TURN_IDLE && w->obeyed == DRAIN && !c->finished)
		finish(c, fd);
}

/* One turn for each connection that is ready now; new ones wait for the next round. */
static void serve_ready(struct worker *w)
{
	uint32_t last = w->ready.tail;

	while (w->ready.head) {
		struct connection *c = queue_take(&w->ready, w->config.table);
		uint32_t index = table_index(w->config.table, c);

		serve(w, c);
		if (index == last)
			break;
	}
}

static void adopt(struct worker *w, struct connection *c, int64_t since)
{
	c->adopted = true;
	c->since = since;
	list_append(list_of(w, c), w->config.table, c);
	PROBE_ADOPT(fd_of(w, c), w->config.number);
}

/*
 * An event that says nothing but "writable" concerns only those who wait for
 * it; all else, whatever its name, means that there is something to receive.
 */
static void collect(struct worker *w, const struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++) {
		struct connection *c;

		if (poller_is_wake(&w->poller, &events[i]))
			continue; /* obey() comes after each batch */
		c = at(w, (uint32_t)events[i].data.fd);
		if (!c->adopted)
			adopt(w, c, w->now);
		if (c->stalled || w->obeyed != SERVE || (events[i].events & ~(uint32_t)EPOLLOUT))
			queue_put(&w->ready, w->config.table, c);
	}
}

static void make_all_ready(struct worker *w, const struct list *list)
{
	for (uint32_t i = list->head; i; i = at(w, i)->age.next)
		queue_put(&w->ready, w->config.table, at(w, i));
}

static void end_all(struct worker *w, const struct list *list)
{
	while (list->head)
		end(w, at(w, list->head), CLOSED_BY_SHUTDOWN, 0);
}

static void obey(struct worker *w)
{
	int order = atomic_load(&w->order);

	w->echo.budget = atomic_load(&w->pending_memory);
	if (order == DRAIN && w->obeyed == SERVE) {
		make_all_ready(w, &w->idle);
		make_all_ready(w, &w->stalled);
	}
	if (order == ABORT) {
		w->ready.head = 0;
		end_all(w, &w->idle);
		end_all(w, &w->stalled);
	}
	w->obeyed = order;
}

static void expire(struct worker *w, int64_t asof)
{
	const struct table *table = w->config.table;
	struct connection *c;

	while ((c = list_overdue(&w->idle, table, atomic_load(&w->idle_ms), asof)))
		end(w, c, CLOSED_IDLE, 0);
	while ((c = list_overdue(&w->stalled, table, atomic_load(&w->stall_ms), asof))) {
		if (connection_unacknowledged(fd_of(w, c)) < c->unacknowledged)
			file(w, c, true);
		else
			end(w, c, CLOSED_STALLED, 0);
	}
}

/* How long to wait, in milliseconds; -1: for ever. */
static int patience(const struct worker *w)
{
	int64_t idle = list_due(&w->idle, w->config.table, atomic_load(&w->idle_ms));
	int64_t stalled = list_due(&w->stalled, w->config.table, atomic_load(&w->stall_ms));
	int64_t next = idle < stalled ? idle : stalled;

	if (w->ready.head)
		return 0;
	if (next == INT64_MAX)
		return -1;
	next -= w->now;
	return next < 0 ? 0 : next > INT_MAX ? INT_MAX : (int)next;
}

/*
 * It is in its list at once: if it can neither be read nor written, no event
 * comes to tell of it, and yet it has a timeout.
 */
void worker_resume(struct worker *w, int fd)
{
	struct connection *c = at(w, (uint32_t)fd);

	atomic_store_explicit(&c->owner, w->config.number + 1, memory_order_relaxed);
	if (c->pending)
		w->echo.held += c->pending->size;
	adopt(w, c, c->since);
	counter_increment(&w->accepted);
}

/* Watches what worker_resume() has put into a list; now that we run, an end may be in order. */
static void watch_all(struct worker *w, const struct list *list)
{
	for (uint32_t i = list->head, next; i; i = next) {
		int r = poller_add(&w->poller, (int)i, EVENTS);

		next = at(w, i)->age.next;
		if (at(w, i)->pending)
			connection_finish_on_close((int)i);
		if (r < 0)
			end(w, at(w, i), CLOSED_BY_ERROR, -r);
	}
}

static bool is_done(const struct worker *w)
{
	return w->obeyed == FREEZE || (w->obeyed != SERVE && worker_open(w) == 0);
}

static void *run(void *arg)
{
	struct worker *w = arg;
	struct epoll_event events[BATCH];

	pthread_setname_np(pthread_self(), w->name);
	w->now = clock_ms();
	watch_all(w, &w->idle);
	watch_all(w, &w->stalled);
	confine_enter(CONFINE_WORKER, w->name);
	sem_post(w->config.started);
	obey(w);
	while (!is_done(w)) {
		int n = poller_wait(&w->poller, events, BATCH, patience(w));
		int64_t before = w->now;

		w->now = clock_ms();
		collect(w, events, n);
		obey(w);
		serve_ready(w);
		if (n < BATCH)
			expire(w, before);
	}
	atomic_store_explicit(&w->ended, true, memory_order_release);
	(void)eventfd_write(w->config.done_fd, 1);
	poller_unwatch_all(&w->poller); /* it takes its time, which others need not wait for */
	return NULL;
}

int worker_start(struct worker *w)
{
	return -pthread_create(&w->thread, NULL, run, w);
}

static void give_order(struct worker *w, int order)
{
	atomic_store(&w->order, order);
	poller_wake(&w->poller);
}

void worker_drain(struct worker *w)
{
	give_order(w, DRAIN);
}

void worker_freeze(struct worker *w)
{
	give_order(w, FREEZE);
}

void worker_abort(struct worker *w)
{
	give_order(w, ABORT);
}

void worker_join(struct worker *w)
{
	pthread_join(w->thread, NULL);
}
