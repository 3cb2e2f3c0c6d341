/* SPDX-License-Identifier: MIT */
#include "reactor/reactor.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/param.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/process.h"
#include "base/tcp.h"

/*
 * How long to wait for a thread to halt.  On a starved machine a round can take
 * seconds; one without a heartbeat for so long is stuck, and gets less.
 */
#define HALT_MS 4000
#define HALT_STUCK_MS 200

static int init_workers(struct shared *s, unsigned n)
{
	int e = 0;

	s->workers = aligned_alloc(_Alignof(struct worker), n * sizeof(*s->workers));
	if (!s->workers)
		return -ENOMEM;
	while (s->n_workers < n && e == 0) {
		e = worker_init(&s->workers[s->n_workers], s, s->n_workers);
		s->n_workers += e == 0;
	}
	return e;
}

int reactor_init(struct reactor *r, const struct conf *conf, uint32_t descriptors, bool trace)
{
	struct shared *s = &r->shared;
	int e;

	memset(r, 0, sizeof(*r));
	s->buffer_size = (size_t)conf->buffer_size;
	s->trace = trace;
	sem_init(&s->started, 0, 0);
	s->main_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->failed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->main_fd < 0 || s->failed_fd < 0)
		return -errno;
	e = connections_init(&s->connections, descriptors);
	if (e == 0) /* twice as many sources as can have connections, see limiter.c */
		e = limiter_init(&s->limiter, 2 * (size_t)descriptors);
	if (e == 0)
		e = init_workers(s, conf->workers ? (unsigned)conf->workers : process_cpus());
	if (e == 0)
		e = acceptor_init(&r->acceptor, s);
	return e;
}

void reactor_deinit(struct reactor *r)
{
	struct shared *s = &r->shared;

	if (r->acceptor.shared)
		poller_deinit(&r->acceptor.loop.poller);
	for (unsigned i = 0; i < s->n_workers; i++)
		worker_deinit(&s->workers[i]);
	free(s->workers);
	limiter_deinit(&s->limiter);
	connections_deinit(&s->connections);
	if (s->main_fd > 0)
		close(s->main_fd);
	if (s->failed_fd > 0)
		close(s->failed_fd);
	sem_destroy(&s->started);
}

/* The effective limit: a share of all connections is at least one of them. */
static int64_t per_source(const struct conf *conf, int64_t max_connections)
{
	int64_t n = conf->max_connections_per_source;

	if (n >= 0)
		return n;
	n = max_connections * -n / 100;
	return n > 0 ? n : 1;
}

void reactor_set(struct reactor *r, const struct conf *conf, int64_t max_connections)
{
	struct shared *s = &r->shared;
	struct limiter_settings *limits = &s->limiter.settings;

	s->idle_ms = conf->idle_timeout * 1000;
	s->stall_ms = conf->stall_timeout * 1000;
	/* On 32 bits it may be more than there is. */
	s->pending_memory = (size_t)MIN(conf->pending_memory, (int64_t)PTRDIFF_MAX);
	atomic_store(&limits->max_connections, max_connections);
	atomic_store(&limits->per_source, per_source(conf, max_connections));
	atomic_store(&limits->exempts_loopback, conf->max_connections_per_source < 0);
	atomic_store(&limits->rate, conf->connection_rate_per_source);
	atomic_store(&limits->burst, conf->connection_burst_per_source);
	for (unsigned i = 0; i < s->n_workers; i++)
		poller_wake(&s->workers[i].loop.poller);
}

static void take_note(const struct reactor *r)
{
	eventfd_t ignored;

	(void)eventfd_read(r->shared.main_fd, &ignored);
}

/* Waits until a thread has news, for some ms at most. */
static void wait_for_news(struct reactor *r, int64_t timeout_ms)
{
	struct pollfd p = { .fd = r->shared.main_fd, .events = POLLIN };

	(void)poll(&p, 1, (int)timeout_ms);
	take_note(r);
}

/* The acceptor's, then the workers'. */
static struct loop *loop_at(struct reactor *r, unsigned i)
{
	return i == 0 ? &r->acceptor.loop : &r->shared.workers[i - 1].loop;
}

static void command_workers(struct reactor *r, enum loop_command command)
{
	for (unsigned i = 0; i < r->shared.n_workers; i++)
		loop_command(&r->shared.workers[i].loop, command);
}

int reactor_start(struct reactor *r)
{
	unsigned n = 0;
	int e = 0;

	while (n < r->shared.n_workers && e == 0) {
		e = loop_start(&r->shared.workers[n].loop);
		n += e == 0;
	}
	while (n > 0)
		n -= sem_wait(&r->shared.started) == 0; /* else it was a debugger's interruption */
	if (e == 0)
		e = loop_start(&r->acceptor.loop);
	if (e < 0) { /* no draining: clients of a predecessor would have to be waited for */
		command_workers(r, ABORT);
		reactor_join(r);
	}
	return e;
}

uint64_t reactor_open(const struct reactor *r)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < r->shared.n_workers; i++)
		n += worker_open(&r->shared.workers[i]);
	return n;
}

void reactor_ask(struct reactor *r)
{
	for (unsigned i = 0; i <= r->shared.n_workers; i++)
		loop_ask(loop_at(r, i));
}

const char *reactor_unanswered(struct reactor *r, unsigned *i)
{
	while (*i <= r->shared.n_workers) {
		const struct loop *l = loop_at(r, (*i)++);

		if (l->asked)
			return l->name;
	}
	return NULL;
}

bool reactor_settle(struct reactor *r)
{
	int64_t left, deadline = clock_ms() + HALT_MS;

	while (r->acceptor.pending && (left = deadline - clock_ms()) > 0)
		wait_for_news(r, left);
	return !r->acceptor.pending;
}

bool reactor_stop(struct reactor *r, bool hurried)
{
	take_note(r);
	loop_command(&r->acceptor.loop, DRAIN);
	if (loop_is_running(&r->acceptor.loop))
		return false;
	command_workers(r, hurried ? ABORT : DRAIN);
	for (unsigned i = 0; i < r->shared.n_workers; i++)
		if (loop_is_running(&r->shared.workers[i].loop))
			return false;
	return true;
}

/* A thread that was asked only now may be busy, or wait for a CPU. */
static bool is_stuck(const struct loop *l)
{
	int64_t asked = l->asked;

	return asked && clock_ms() - asked > HALT_MS;
}

/* Waits for threads to end, from the first of loop_at() to the last.  Returns how many have not. */
static unsigned wait_for_end(struct reactor *r, unsigned first, unsigned last)
{
	int64_t begin = clock_ms();

	for (;;) {
		unsigned running = 0, stuck = 0;
		int64_t left;

		for (unsigned i = first; i <= last; i++) {
			running += loop_is_running(loop_at(r, i));
			stuck += loop_is_running(loop_at(r, i)) && is_stuck(loop_at(r, i));
		}
		left = begin + (running > stuck ? HALT_MS : HALT_STUCK_MS) - clock_ms();
		if (running == 0 || left <= 0)
			return running;
		wait_for_news(r, left);
	}
}

unsigned reactor_freeze(struct reactor *r)
{
	unsigned n;

	loop_command(&r->acceptor.loop, FREEZE);
	n = wait_for_end(r, 0, 0);
	command_workers(r, FREEZE); /* not before: they would miss what it still dispatches */
	return n + wait_for_end(r, 1, r->shared.n_workers);
}

void reactor_reset_all(const struct reactor *r)
{
	for (uint32_t fd = 0; fd < r->shared.connections.size; fd++)
		if (atomic_load_explicit(&connections_at(&r->shared.connections, fd)->owner,
					 memory_order_acquire))
			tcp_reset_on_close((int)fd, true);
}

void reactor_join(struct reactor *r)
{
	for (unsigned i = 0; i <= r->shared.n_workers; i++)
		loop_join(loop_at(r, i));
}
