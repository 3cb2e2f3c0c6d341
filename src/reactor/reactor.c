#include "reactor/reactor.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpus.h"

/*
 * How long to wait for a thread to halt: for one that is stuck, as it has not
 * answered a beat of the watchdog for as long as we wait for others, and for
 * those.  On a starved machine a round can take seconds.
 */
#define GRACE_MS 200
#define FREEZE_MS 4000

static int init_workers(struct reactor *r, unsigned n, size_t buffer_size, bool trace)
{
	struct worker_config config = {
		.buffer_size = buffer_size,
		.connections = &r->connections,
		.limiter = &r->limiter,
		.started = &r->started,
		.done_fd = r->done_fd,
		.trace = trace,
	};

	r->workers = aligned_alloc(_Alignof(struct worker), n * sizeof(*r->workers));
	if (!r->workers)
		return -ENOMEM;
	for (; r->n_workers < n; r->n_workers++) {
		int e;

		config.number = r->n_workers;
		e = worker_init(&r->workers[r->n_workers], &config);
		if (e < 0)
			return e;
	}
	return 0;
}

static int init_acceptor(struct reactor *r, bool trace)
{
	struct acceptor_config config = {
		.done_fd = r->done_fd,
		.failed_fd = r->failed_fd,
		.workers = r->workers,
		.n_workers = r->n_workers,
		.connections = &r->connections,
		.limiter = &r->limiter,
		.trace = trace,
	};

	return acceptor_init(&r->acceptor, &config);
}

int reactor_init(struct reactor *r, const struct conf *conf, uint32_t descriptors, bool trace)
{
	int e;

	memset(r, 0, sizeof(*r));
	sem_init(&r->started, 0, 0);
	r->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->done_fd < 0)
		return -errno;
	r->failed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->failed_fd < 0)
		return -errno;
	e = connections_init(&r->connections, descriptors);
	if (e == 0) /* twice as many sources as can have connections, see limiter.c */
		e = limiter_init(&r->limiter, 2 * (size_t)descriptors);
	if (e == 0)
		e = init_workers(r, conf->workers ? (unsigned)conf->workers : cpus_available(),
				 (size_t)conf->buffer_size, trace);
	if (e == 0)
		e = init_acceptor(r, trace);
	return e;
}

void reactor_deinit(struct reactor *r)
{
	if (r->acceptor.config.workers)
		acceptor_deinit(&r->acceptor);
	for (unsigned i = 0; i < r->n_workers; i++)
		worker_deinit(&r->workers[i]);
	free(r->workers);
	limiter_deinit(&r->limiter);
	connections_deinit(&r->connections);
	if (r->done_fd > 0)
		close(r->done_fd);
	if (r->failed_fd > 0)
		close(r->failed_fd);
	sem_destroy(&r->started);
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
	struct limiter_settings *limits = &r->limiter.settings;
	int64_t pending = conf->pending_memory; /* on 32 bits it may be more than there is */
	struct worker_settings settings = {
		.idle_timeout = conf->idle_timeout,
		.stall_timeout = conf->stall_timeout,
		.pending_memory = (size_t)(pending < PTRDIFF_MAX ? pending : PTRDIFF_MAX),
	};

	atomic_store(&limits->max_connections, max_connections);
	atomic_store(&limits->per_source, per_source(conf, max_connections));
	atomic_store(&limits->exempts_loopback, conf->max_connections_per_source < 0);
	atomic_store(&limits->rate, conf->connection_rate_per_source);
	atomic_store(&limits->burst, conf->connection_burst_per_source);
	for (unsigned i = 0; i < r->n_workers; i++)
		worker_set(&r->workers[i], &settings);
}

int reactor_start(struct reactor *r)
{
	int e = 0;

	while (r->n_running < r->n_workers && e == 0) {
		e = worker_start(&r->workers[r->n_running]);
		if (e == 0)
			r->n_running++;
	}
	for (unsigned i = 0; i < r->n_running; i++)
		while (sem_wait(&r->started) < 0)
			continue; /* a debugger's interruption */
	if (e == 0)
		e = acceptor_start(&r->acceptor);
	if (e == 0) {
		r->accepting = true;
		return 0;
	}
	reactor_abort(r); /* nobody could be waited for, of those that were taken over */
	reactor_join(r);
	return e;
}

void reactor_listen(struct reactor *r, const struct acceptor_set *set)
{
	acceptor_listen(&r->acceptor, set);
}

bool reactor_has_failed(struct reactor *r)
{
	eventfd_t ignored;

	/* Before the look: what fails since then is told again. */
	(void)eventfd_read(r->failed_fd, &ignored);
	return acceptor_has_failed(&r->acceptor);
}

int reactor_failure(struct reactor *r, int *fd)
{
	return acceptor_failure(&r->acceptor, fd);
}

uint64_t reactor_open(const struct reactor *r)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < r->n_workers; i++)
		n += worker_open(&r->workers[i]);
	return n;
}

void reactor_ask(struct reactor *r)
{
	atomic_store_explicit(&r->asked, clock_ms(), memory_order_relaxed);
	poller_ask(&r->acceptor.poller);
	for (unsigned i = 0; i < r->n_workers; i++)
		poller_ask(&r->workers[i].poller);
}

const char *reactor_unanswered(const struct reactor *r, unsigned *i)
{
	for (; *i <= r->n_workers; ++*i) {
		const struct poller *p = *i ? &r->workers[*i - 1].poller : &r->acceptor.poller;

		if (!poller_has_answered(p)) {
			++*i;
			return p->name;
		}
	}
	return NULL;
}

static unsigned count_alive(const struct reactor *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->n_running; i++)
		n += !worker_has_ended(&r->workers[i]);
	return n;
}

static bool workers_are_gone(struct reactor *r)
{
	return count_alive(r) == 0;
}

static bool acceptor_is_gone(struct reactor *r)
{
	return acceptor_has_ended(&r->acceptor);
}

/* Who was asked only now may be busy, or wait for a CPU. */
static bool is_stuck(const struct reactor *r, const struct poller *p)
{
	int64_t asked = atomic_load_explicit(&r->asked, memory_order_relaxed);

	return !poller_has_answered(p) && clock_ms() - asked > FREEZE_MS;
}

/* Nobody is left who could still come to a halt. */
static bool acceptor_is_hopeless(struct reactor *r)
{
	return acceptor_is_gone(r) || is_stuck(r, &r->acceptor.poller);
}

static bool workers_are_hopeless(struct reactor *r)
{
	for (unsigned i = 0; i < r->n_running; i++)
		if (!worker_has_ended(&r->workers[i]) && !is_stuck(r, &r->workers[i].poller))
			return false;
	return true;
}

/* Waits until it is so, or time is up.  True if it is so. */
static bool wait_until(struct reactor *r, bool (*is_so)(struct reactor *), int timeout_ms)
{
	struct pollfd p = { .fd = r->done_fd, .events = POLLIN };
	int64_t deadline = clock_ms() + timeout_ms;
	bool done;

	while (!(done = is_so(r)) && clock_ms() < deadline) {
		eventfd_t ignored;

		(void)poll(&p, 1, (int)(deadline - clock_ms()) + 1);
		(void)eventfd_read(r->done_fd, &ignored);
	}
	return done;
}

unsigned reactor_freeze(struct reactor *r)
{
	if (r->accepting) {
		acceptor_leave(&r->acceptor);
		if (!wait_until(r, acceptor_is_gone, GRACE_MS))
			wait_until(r, acceptor_is_hopeless, FREEZE_MS);
		r->accepting = !acceptor_is_gone(r);
		if (!r->accepting)
			acceptor_join(&r->acceptor);
	}
	for (unsigned i = 0; i < r->n_running; i++)
		worker_freeze(&r->workers[i]);
	if (!wait_until(r, workers_are_gone, GRACE_MS))
		wait_until(r, workers_are_hopeless, FREEZE_MS);
	return count_alive(r) + r->accepting;
}

static bool acceptor_has_its_set(struct reactor *r)
{
	return acceptor_is_settled(&r->acceptor);
}

bool reactor_settle(struct reactor *r)
{
	return wait_until(r, acceptor_has_its_set, FREEZE_MS);
}

/* The acceptor has ended: `accepted` stands still. */
static void end_workers(struct reactor *r)
{
	for (unsigned i = 0; i < r->n_running; i++)
		if (r->hurried)
			worker_abort(&r->workers[i]);
		else
			worker_drain(&r->workers[i]);
}

bool reactor_stop(struct reactor *r)
{
	eventfd_t ignored;

	(void)eventfd_read(r->done_fd, &ignored);
	if (r->accepting && !r->stopping && acceptor_is_settled(&r->acceptor)) {
		acceptor_stop(&r->acceptor);
		r->stopping = true;
	}
	if (r->accepting && acceptor_has_ended(&r->acceptor)) {
		acceptor_join(&r->acceptor);
		r->accepting = false;
		end_workers(r);
	}
	return !r->accepting && count_alive(r) == 0;
}

void reactor_reset_all(const struct reactor *r)
{
	for (uint32_t fd = 0; fd < r->connections.size; fd++)
		if (atomic_load_explicit(&connections_at(&r->connections, fd)->owner,
					 memory_order_acquire))
			connection_reset_on_close((int)fd);
}

void reactor_abort(struct reactor *r)
{
	r->hurried = true;
	if (!r->accepting)
		end_workers(r);
}

void reactor_join(struct reactor *r)
{
	for (unsigned i = 0; i < r->n_running; i++)
		worker_join(&r->workers[i]);
	r->n_running = 0;
}
