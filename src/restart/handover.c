/*
 * The threads have ended between two rounds, so the records stand still.  The
 * sockets go into carriers, what is known of them into a memfd; the
 * service manager holds both when this process ends.  The kernel goes on
 * meanwhile: it acknowledges and keeps what clients send, and sends what we
 * gave it.
 */
#include "restart/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "listen/activation.h"
#include "restart/fdpass.h"
#include "restart/state.h"
#include "systemd/fdstore.h"
#include "systemd/notify.h"

/* How often freed memory is given back, so that at most one part of so many is kept. */
#define TRIMS 16

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

	for (uint32_t fd = 0; fd < r->connections.size && open > 0; fd++) {
		struct connection *c = connections_at(&r->connections, fd);
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

/* Of what was echoed until now, so much the client had not at `since`. */
static uint32_t unacknowledged(const struct connection *c)
{
	uint64_t n = c->stalled ? c->echoed - c->acknowledged : 0;

	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static void write_record(FILE *out, const struct reactor *r, const struct parcel *parcel)
{
	const struct connection *c = connections_at(&r->connections, (uint32_t)parcel->fd);
	struct state_record record = {
		.since = parcel->since,
		.echoed = c->echoed,
		.pending = c->pending ? c->pending->size - c->pending->sent : 0,
		.unacknowledged = unacknowledged(c),
		.worker = (uint16_t)(atomic_load_explicit(&c->owner, memory_order_relaxed) - 1),
		.stalled = (uint16_t)(c->stalled + c->parting),
	};

	state_write_record(out, &record);
}

static const struct pending *pending_of(const struct reactor *r, const struct parcel *parcel)
{
	return connections_at(&r->connections, (uint32_t)parcel->fd)->pending;
}

/* Frees the pending bytes, if any.  Returns how many they were. */
static size_t free_pending(struct reactor *r, const struct parcel *parcel)
{
	struct connection *c = connections_at(&r->connections, (uint32_t)parcel->fd);
	uint32_t owner = atomic_load_explicit(&c->owner, memory_order_relaxed);
	size_t size = c->pending ? c->pending->size : 0;

	connection_forget(c, &r->workers[owner - 1].clients.echo);
	return size;
}

/*
 * The file counts as our memory, so each buffer is freed when it is written.
 * malloc(3) keeps what is free for later; it is told to give it back, now and
 * then, for that takes it some time.
 */
static void write_pending(FILE *out, struct reactor *r, const struct parcel *parcels, uint32_t n)
{
	size_t all = 0, freed = 0;

	for (uint32_t i = 0; i < n; i++)
		all += pending_of(r, &parcels[i]) ? pending_of(r, &parcels[i])->size : 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct pending *p = pending_of(r, &parcels[i]);

		if (!p)
			continue;
		fwrite(p->data + p->sent, p->size - p->sent, 1, out);
		freed += free_pending(r, &parcels[i]);
		if (freed > all / TRIMS) {
			malloc_trim(0);
			freed = 0;
		}
	}
}

/* Writes the state into a file, and frees what is pending.  0 or -errno. */
static int write_state(FILE *out, struct reactor *r, const struct parcel *parcels, uint32_t n,
		       int64_t frozen)
{
	struct state_header header = {
		.n_connections = n,
		.n_workers = r->n_workers,
		.frozen = frozen,
	};

	errno = 0;
	state_write_header(out, &header);
	for (uint32_t i = 0; i < n; i++)
		write_record(out, r, &parcels[i]);
	write_pending(out, r, parcels, n);
	if (fflush(out) == 0 && !ferror(out))
		return 0;
	return errno ? -errno : -EIO;
}

/* Returns a memfd with the state, or -errno. */
static int make_state(struct reactor *r, const struct parcel *parcels, uint32_t n, int64_t frozen)
{
	int fd = memfd_create("echod-state", MFD_CLOEXEC);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
	int result;

	if (!out) {
		result = -errno;
		if (fd >= 0)
			close(fd);
		return result;
	}
	result = write_state(out, r, parcels, n, frozen);
	if (result == 0)
		result = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (result == -1)
		result = -errno;
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
		int r, carrier = fdpass_pack(fds + done, n - done, done, &packed);

		if (carrier < 0)
			break;
		r = fdstore_add(FDSTORE_CARRIER, (int)i, carrier);
		close(carrier);
		if (r < 0)
			break;
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
		if (pending_of(r, &parcels[i]))
			connection_reset_on_close(parcels[i].fd);
}

/* 0, or -errno if there is no way to store any; how many were not stored in *lost. */
static int give(struct reactor *r, int64_t frozen, uint32_t *lost)
{
	uint64_t open = reactor_open(r);
	struct parcel *parcels = calloc((size_t)open + 1, sizeof(*parcels));
	uint32_t n;
	int state, error = 0;

	*lost = (uint32_t)open;
	if (!parcels) {
		reactor_reset_all(r);
		return -ENOMEM;
	}
	n = collect(r, parcels, open);
	mark_unfinished(r, parcels, n);
	state = make_state(r, parcels, n, frozen);
	if (state >= 0) {
		error = fdstore_add(FDSTORE_STATE, -1, state);
		close(state);
	}
	if (state >= 0 && error == 0) {
		*lost -= store_sockets(parcels, n);
		notify_barrier(); /* it holds them now: this process may end */
	} else {
		reactor_reset_all(r);
	}
	for (uint32_t i = 0; i < n; i++)
		free_pending(r, &parcels[i]);
	free(parcels);
	return state < 0 ? state : error;
}

static void log_result(int error, uint32_t lost)
{
	if (error != 0)
		log_event(EVENT_HAND_OVER_FAILED,
			  FIELDS(FIELD_NUMBER("ECHOD_LOST", lost), FIELD_ERRNO(-error)),
			  "cannot hand over: %s%s; %" PRIu32 " connections are lost",
			  strerrordesc_np(-error),
			  error == -EFBIG ? " (by LimitFSIZE= or ulimit -f)" : "", lost);
	else if (lost > 0)
		log_event(EVENT_CONNECTIONS_LOST, FIELDS(FIELD_NUMBER("ECHOD_LOST", lost)),
			  "%" PRIu32 " connections were lost on the way", lost);
}

unsigned handover_run(struct reactor *r)
{
	uint64_t open = reactor_open(r);
	int64_t begin;
	unsigned stuck;
	uint32_t lost;
	int error;

	/* All that is said when all goes well is said before anyone has to wait. */
	log_event(EVENT_HANDING_OVER, FIELDS(FIELD_NUMBER("ECHOD_CONNECTIONS", open)),
		  "handing over %" PRIu64 " connections", open);
	log_flush(LOG_FLUSH_MS);
	begin = clock_ns();
	stuck = reactor_freeze(r);
	error = give(r, begin, &lost);
	log_result(error, lost);
	return stuck;
}
