/*
 * The reactor.
 *
 * Each round: wait, collect the batch, obey main, give every ready connection
 * one turn, close what is overdue (clients.c).  While somebody is ready the wait
 * does not block.
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
 * Freezing.  The thread ends between two rounds, so the records say all there is
 * to say.  A new registration reports anew what is ready, see takeover.c.
 *
 * Draining.  The acceptor has ended before, so `accepted` stands still, and the
 * thread ends when as many connections have been closed.  Those that nobody has
 * adopted yet are still in the epoll instance with their first event, and go the
 * same way as the others.
 */
#include "reactor/worker.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/probe.h"

/* Events in a batch: enough that the wait costs each echo little. */
#ifndef BATCH /* a test has few connections */
#define BATCH 512
#endif

/* What a worker watches in every socket. */
#define EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

int worker_init(struct worker *w, const struct worker_config *config)
{
	char name[sizeof(w->loop.name)];
	int r;

	memset(w, 0, sizeof(*w));
	w->config = *config;
	snprintf(name, sizeof(name), "worker/%u", config->number);
	w->clients.connections = w->clients.timeouts.connections = config->connections;
	w->clients.limiter = config->limiter;
	w->clients.name = w->loop.name;
	w->clients.number = config->number;
	r = loop_init(&w->loop, name, config->main_fd, config->trace);
	if (r < 0)
		return r;
	w->clients.echo.size = config->buffer_size;
	w->clients.echo.buffer = malloc(config->buffer_size);
	if (!w->clients.echo.buffer) {
		loop_deinit(&w->loop);
		return -ENOMEM;
	}
	conduit_init(&w->clients.echo.conduit);
	return 0;
}

void worker_deinit(struct worker *w)
{
	loop_deinit(&w->loop);
	conduit_deinit(&w->clients.echo.conduit);
	free(w->clients.echo.buffer);
	w->clients.echo.buffer = NULL;
}

void worker_set(struct worker *w, const struct worker_settings *settings)
{
	atomic_store(&w->clients.timeouts.idle_ms, settings->idle_timeout * 1000);
	atomic_store(&w->clients.timeouts.stall_ms, settings->stall_timeout * 1000);
	atomic_store(&w->pending_memory, (size_t)settings->pending_memory);
	poller_wake(&w->loop.poller);
}

static void own(const struct worker *w, struct connection *c)
{
	uint16_t owner = (uint16_t)(w->config.number + 1);

	atomic_store_explicit(&c->owner, owner, memory_order_relaxed);
}

int worker_adopt(struct worker *w, int fd)
{
	struct connection *c = connections_at(w->config.connections, (uint32_t)fd);
	int r;

	own(w, c);
	counter_increment(&w->accepted); /* before it can be closed and counted as such */
	r = poller_add(&w->loop.poller, fd, EVENTS);
	if (r < 0) {
		counter_set(&w->accepted, counter_get(&w->accepted) - 1);
		atomic_store_explicit(&c->owner, 0, memory_order_relaxed);
	}
	return r;
}

uint64_t worker_open(const struct worker *w)
{
	uint64_t closed = counter_get(&w->clients.closed_total);
	uint64_t accepted = counter_get(&w->accepted);

	/* They are not of one instant, and what was before a restart may have wrapped. */
	return (int64_t)(accepted - closed) > 0 ? accepted - closed : 0;
}

static void collect(struct worker *w, const struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++)
		if (!poller_is_wake(&w->loop.poller,
				    &events[i])) /* obey() comes after each batch */
			clients_hear(&w->clients, events[i].data.fd, events[i].events);
}

static void obey(struct worker *w)
{
	enum loop_command order = loop_commanded(&w->loop);

	w->clients.echo.budget = atomic_load(&w->pending_memory);
	if (order == DRAIN && w->obeyed == RUN)
		clients_drain(&w->clients);
	if (order == ABORT)
		clients_end_all(&w->clients);
	w->obeyed = order;
}

void worker_resume(struct worker *w, int fd)
{
	own(w, connections_at(w->config.connections, (uint32_t)fd));
	clients_resume(&w->clients, fd);
	counter_increment(&w->accepted);
}

/* Watches what worker_resume() has put into a list; now that we run, an end may be in order. */
static void watch_all(struct worker *w, const struct list *list)
{
	for (uint32_t i = list->head, next; i; i = next) {
		struct connection *c = connections_at(w->config.connections, i);
		int r = poller_add(&w->loop.poller, (int)i, EVENTS);

		next = c->younger;
		if (c->pending)
			connection_finish_on_close((int)i);
		if (r < 0)
			clients_end(&w->clients, c, CLOSED_BY_ERROR, -r);
	}
}

/* Says once, whichever worker was told so first, that streams cost more than they could. */
static void report_refusal(const struct conduit *p)
{
	static atomic_flag told = ATOMIC_FLAG_INIT;

	if (p->refused && !atomic_flag_test_and_set(&told))
		log_warning("splice(2) is refused: %s; streams are copied from now on",
			    strerrordesc_np(p->refused));
}

static void pass_round(struct worker *w, const struct epoll_event *events, int n)
{
	struct timeouts *t = &w->clients.timeouts;

	timeouts_tick(t);
	/* One that is being added is counted already; the eventfd is watched, too. */
	timeouts_collected(t, (size_t)n, BATCH, worker_open(w) + 1);
	collect(w, events, n);
	obey(w);
	clients_serve(&w->clients);
	clients_expire(&w->clients);
	report_refusal(&w->clients.echo.conduit);
}

static bool is_done(const struct worker *w)
{
	return w->obeyed == FREEZE || (w->obeyed != RUN && worker_open(w) == 0);
}

static void run(void *arg)
{
	struct worker *w = arg;
	struct epoll_event events[BATCH];

	timeouts_tick(&w->clients.timeouts);
	watch_all(w, &w->clients.timeouts.idle);
	watch_all(w, &w->clients.timeouts.stalled);
	sem_post(w->config.started);
	obey(w);
	while (!is_done(w)) {
		int n = loop_wait(&w->loop, events, BATCH, clients_patience(&w->clients));

		pass_round(w, events, n);
	}
}

int worker_start(struct worker *w)
{
	return loop_start(&w->loop, run, w);
}
