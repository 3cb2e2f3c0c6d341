/*
 * The threads have ended between two rounds, so the records stand still.  The
 * sockets go into carriers, what is known of them into a sealed memfd; the
 * service manager holds both when this process ends.  The kernel goes on
 * meanwhile: it acknowledges and keeps what clients send, and sends what we
 * gave it.
 */
#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "activation.h"
#include "carrier.h"
#include "clock.h"
#include "report.h"
#include "state.h"
#include "store.h"

struct parcel {
	int64_t since;
	int fd;
};

static int compare(const void *a, const void *b)
{
	const struct parcel *x = a, *y = b;

	return (x->since > y->since) - (x->since < y->since);
}

/*
 * Finds the connections to give: whoever owns a record is frozen.  Those that
 * no worker has adopted yet have their events still before them.
 */
static uint32_t collect(const struct reactor *r, struct parcel *parcels, uint64_t open)
{
	uint32_t n = 0;
	int64_t now = clock_ms();

	for (uint32_t fd = 0; fd < r->table.size && open > 0; fd++) {
		struct connection *c = table_at(&r->table, fd);
		uint32_t owner = atomic_load_explicit(&c->owner, memory_order_acquire);

		if (owner == 0)
			continue;
		open--;
		if (worker_has_ended(&r->workers[owner - 1]))
			parcels[n++] = (struct parcel){ c->adopted ? c->since : now, (int)fd };
		else
			connection_reset_on_close((int)fd);
	}
	qsort(parcels, n, sizeof(*parcels), compare);
	return n;
}

static void write_counter(FILE *out, const counter *c)
{
	uint64_t value = counter_get(c);

	fwrite(&value, sizeof(value), 1, out);
}

static void write_counters(FILE *out, const struct reactor *r)
{
	for (int i = 0; i < REFUSALS; i++)
		write_counter(out, &r->acceptor.refused[i]);
	write_counter(out, &r->acceptor.pauses);
	for (unsigned i = 0; i < r->n_workers; i++) {
		for (int j = 0; j < CLOSINGS; j++)
			write_counter(out, &r->workers[i].closed[j]);
		write_counter(out, &r->workers[i].received);
		write_counter(out, &r->workers[i].echoed);
	}
}

static void write_record(FILE *out, const struct reactor *r, const struct parcel *parcel)
{
	const struct connection *c = table_at(&r->table, (uint32_t)parcel->fd);
	struct state_record record = {
		.since = parcel->since,
		.echoed = c->echoed,
		.pending = c->pending ? c->pending->size - c->pending->sent : 0,
		.unacknowledged = c->unacknowledged,
		.worker = (uint16_t)(atomic_load_explicit(&c->owner, memory_order_relaxed) - 1),
		.stalled = c->stalled,
	};

	fwrite(&record, sizeof(record), 1, out);
}

static void write_pending(FILE *out, const struct pending *p)
{
	if (p)
		fwrite(p->data + p->sent, p->size - p->sent, 1, out);
}

struct sources {
	FILE *out; /* or NULL: only count */
	uint32_t n;
};

static void write_source(void *context, const struct limiter_memory *memory)
{
	struct sources *sources = context;
	struct state_source source = { .due = memory->due };

	memcpy(source.address, memory->address, sizeof(source.address));
	sources->n++;
	if (sources->out)
		fwrite(&source, sizeof(source), 1, sources->out);
}

/* How many sources are worth a note; writes them unless out is NULL. */
static uint32_t write_sources(FILE *out, const struct reactor *r, int64_t now)
{
	struct sources sources = { .out = out };

	/* Version 1 had none; and an acceptor that is stuck may hold the table. */
	if (STATE_VERSION > 1 && !r->accepting)
		limiter_save(&r->limiter, now, write_source, &sources);
	return sources.n;
}

static void write_state(FILE *out, const struct reactor *r, const struct parcel *parcels,
			uint32_t n, int64_t frozen)
{
	int64_t now = clock_ns();
	struct state_header header = {
		.n_refused = REFUSALS,
		.n_closed = CLOSINGS,
		.n_workers = r->n_workers,
		.n_connections = n,
		.n_sources = write_sources(NULL, r, now),
		.frozen = frozen,
	};

	state_write_header(out, &header);
	write_counters(out, r);
	write_sources(out, r, now);
	for (uint32_t i = 0; i < n; i++)
		write_record(out, r, &parcels[i]);
	for (uint32_t i = 0; i < n; i++)
		write_pending(out, table_at(&r->table, (uint32_t)parcels[i].fd)->pending);
}

/* Ends the writing; returns a sealed descriptor of it, or -errno. */
static int seal(FILE *out)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
	int fd;

	if (fflush(out) != 0 || ferror(out))
		return errno ? -errno : -EIO;
	if (fcntl(fileno(out), F_ADD_SEALS, seals) < 0)
		return -errno;
	fd = fcntl(fileno(out), F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

/* Returns a sealed memfd with the state, or -errno. */
static int make_state(const struct reactor *r, const struct parcel *parcels, uint32_t n,
		      int64_t frozen)
{
	int fd = memfd_create("echod-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
	int result;

	if (!out) {
		result = -errno;
		if (fd >= 0)
			close(fd);
		return result;
	}
	write_state(out, r, parcels, n, frozen);
	result = seal(out);
	fclose(out);
	return result;
}

/* Stores the sockets.  Returns how many; the rest is more than can be carried. */
static uint32_t store_sockets(const struct parcel *parcels, uint32_t n)
{
	int *fds = malloc((n + (size_t)1) * sizeof(*fds));
	uint32_t done = 0;

	for (uint32_t i = 0; fds && i < n; i++)
		fds[i] = parcels[i].fd;
	for (size_t i = 0; fds && i < ACTIVATION_CARRIERS && done < n; i++) {
		size_t packed;
		int carrier = carrier_pack(fds + done, n - done, done, &packed);

		if (carrier < 0)
			break;
		store_add_carrier(i, carrier);
		close(carrier);
		done += (uint32_t)packed;
	}
	free(fds);
	return done;
}

/*
 * Should a connection be lost on the way, its end must not claim that the echo
 * is whole.  The kernel sees to that if there are bytes that nobody has received
 * yet; those that are pending it does not know.
 */
static void mark_unfinished(const struct reactor *r, const struct parcel *parcels, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (table_at(&r->table, (uint32_t)parcels[i].fd)->pending)
			connection_reset_on_close(parcels[i].fd);
}

/* As above, of all, and those of stuck workers too, of which nobody knows. */
static void mark_all_unfinished(const struct reactor *r)
{
	for (uint32_t fd = 0; fd < r->table.size; fd++) {
		const struct connection *c = table_at(&r->table, fd);
		uint32_t owner = atomic_load_explicit(&c->owner, memory_order_acquire);

		if (owner && (!worker_has_ended(&r->workers[owner - 1]) || c->pending))
			connection_reset_on_close((int)fd);
	}
}

static void free_pending(struct reactor *r, const struct parcel *parcels, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct connection *c = table_at(&r->table, (uint32_t)parcels[i].fd);
		uint32_t owner = atomic_load_explicit(&c->owner, memory_order_relaxed);

		connection_forget(c, &r->workers[owner - 1].echo);
	}
}

/* 0, or -errno if there is no way to store any; how many were not stored in *lost. */
static int give(struct reactor *r, int64_t frozen, uint32_t *lost)
{
	uint64_t open = reactor_open(r);
	struct parcel *parcels = calloc(open + 1, sizeof(*parcels));
	uint32_t n;
	int state;

	*lost = (uint32_t)open;
	if (!parcels) {
		mark_all_unfinished(r);
		return -ENOMEM;
	}
	n = collect(r, parcels, open);
	mark_unfinished(r, parcels, n);
	state = make_state(r, parcels, n, frozen);
	if (state >= 0) {
		store_add(STORE_STATE, state);
		close(state);
		*lost -= store_sockets(parcels, n);
		store_barrier(); /* it holds them now: this process may end */
	}
	free_pending(r, parcels, n);
	free(parcels);
	return state < 0 ? state : 0;
}

unsigned handover_run(struct reactor *r)
{
	int64_t begin;
	unsigned stuck;
	uint32_t lost;
	int error;

	/* All that is said when all goes well is said before anyone has to wait. */
	report_handing_over(reactor_open(r));
	begin = clock_ns();
	stuck = reactor_freeze(r);
	error = give(r, begin, &lost);
	report_not_handed_over(error, lost);
	return stuck;
}
