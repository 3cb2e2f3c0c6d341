/* SPDX-License-Identifier: MIT */
/*
 * The threads have ended between two rounds, so the records stand still.  The
 * sockets go into carriers, what is known of them into a memfd; the service
 * manager holds both when this process ends.  The kernel goes on meanwhile: it
 * acknowledges and keeps what peers send, and sends what it has of ours.
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
#include "base/tcp.h"
#include "listen/activation.h"
#include "restart/fdpass.h"
#include "restart/state.h"
#include "systemd/fdstore.h"
#include "systemd/notify.h"

/* How often freed memory is given back, so that at most one part of so many is kept. */
#define TRIMS 16

static struct connection *at(const struct reactor *r, int fd)
{
	return connections_at(&r->shared.connections, (uint32_t)fd);
}

static int compare(const void *a, const void *b, void *reactor)
{
	int64_t x = at(reactor, *(const int *)a)->since, y = at(reactor, *(const int *)b)->since;

	return (x > y) - (x < y);
}

/*
 * Writes the descriptors of the connections that can be handed over, in the
 * order of their last progress, and returns how many there are.  Those of a stuck
 * worker cannot.  Those that no worker has adopted yet begin now.
 *
 * Should a connection be lost on its way, its end must not claim that the echo
 * is whole.  The kernel sends a reset if it has bytes that were not received, but
 * of pending ones it does not know.
 */
static uint32_t collect(struct reactor *r, int *fds, uint64_t open)
{
	uint32_t n = 0;
	int64_t now = clock_ms();

	for (uint32_t fd = 0; fd < r->shared.connections.size && open > 0; fd++) {
		struct connection *c = at(r, (int)fd);
		uint32_t owner = atomic_load_explicit(&c->owner, memory_order_acquire);
		bool halted = owner > 0 && r->shared.workers[owner - 1].loop.ended;

		if (owner == 0)
			continue;
		open--;
		if (!halted || c->pending)
			tcp_reset_on_close((int)fd, true);
		if (halted) {
			c->since = c->adopted ? c->since : now;
			fds[n++] = (int)fd;
		}
	}
	qsort_r(fds, n, sizeof(*fds), compare, r);
	return n;
}

/* Frees the pending bytes, if any.  Returns how many they were. */
static size_t free_pending(struct reactor *r, int fd)
{
	uint32_t owner = atomic_load_explicit(&at(r, fd)->owner, memory_order_relaxed);

	return connection_forget(at(r, fd), &r->shared.workers[owner - 1].echo);
}

/*
 * The file counts as our memory, so each buffer is freed when it is written.  malloc(3) keeps
 * freed memory; malloc_trim(3) gives it back, but seldom, since that takes time.
 */
static void write_pending(FILE *out, struct reactor *r, const int *fds, uint32_t n, size_t all)
{
	size_t freed = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct pending *p = at(r, fds[i])->pending;

		if (p)
			fwrite(p->data + p->sent, p->size - p->sent, 1, out);
		freed += free_pending(r, fds[i]);
		if (freed > all / TRIMS) {
			malloc_trim(0);
			freed = 0;
		}
	}
}

/* Writes the state into a file, and frees what is pending.  0 or -errno. */
static int write_state(FILE *out, struct reactor *r, const int *fds, uint32_t n, int64_t frozen)
{
	struct state_header header = {
		.n_connections = n,
		.n_workers = r->shared.n_workers,
		.frozen = frozen,
	};
	size_t pending = 0;

	errno = 0;
	state_write_header(out, &header);
	for (uint32_t i = 0; i < n; i++) {
		struct saved saved;

		connection_save(at(r, fds[i]), &saved);
		state_write_record(out, &saved);
		pending += (size_t)saved.pending;
	}
	write_pending(out, r, fds, n, pending);
	if (fflush(out) == 0 && !ferror(out))
		return 0;
	return errno ? -errno : -EIO;
}

/* Stores the state.  0 or -errno. */
static int store_state(struct reactor *r, const int *fds, uint32_t n, int64_t frozen)
{
	int fd = memfd_create("echod-state", MFD_CLOEXEC);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
	int result = out ? write_state(out, r, fds, n, frozen) : -errno;

	if (result == 0)
		result = fdstore_add(FDSTORE_STATE, -1, fd);
	if (out)
		fclose(out);
	else if (fd >= 0)
		close(fd);
	return result;
}

/* Stores the sockets.  Returns how many; the rest is more than can be carried. */
static uint32_t store_sockets(const int *fds, uint32_t n)
{
	uint32_t done = 0;

	for (int i = 0; i < ACTIVATION_CARRIERS && done < n; i++) {
		size_t packed;
		int r, carrier = fdpass_pack(fds + done, n - done, done, &packed);

		if (carrier < 0)
			break;
		r = fdstore_add(FDSTORE_CARRIER, i, carrier);
		close(carrier);
		if (r < 0)
			break;
		done += (uint32_t)packed;
	}
	return done;
}

/* 0, or -errno if none can be stored; in *lost how many were not stored. */
static int store(struct reactor *r, int64_t frozen, uint32_t *lost)
{
	uint64_t open = reactor_open(r);
	int *fds = calloc((size_t)open + 1, sizeof(*fds));
	uint32_t n = fds ? collect(r, fds, open) : 0;
	int result = fds ? store_state(r, fds, n, frozen) : -ENOMEM;

	*lost = (uint32_t)open;
	if (result == 0) {
		*lost -= store_sockets(fds, n);
		notify_barrier(); /* the manager holds them now: this process may end */
	} else {
		reactor_reset_all(r);
	}
	for (uint32_t i = 0; i < n; i++)
		free_pending(r, fds[i]);
	free(fds);
	return result;
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
			  "%" PRIu32 " connections were lost at the restart", lost);
}

unsigned handover_run(struct reactor *r)
{
	uint64_t open = reactor_open(r);
	int64_t begin;
	unsigned stuck;
	uint32_t lost;
	int error;

	/* Logged before the threads stop, so that no client waits for the log. */
	log_event(EVENT_HANDING_OVER, FIELDS(FIELD_NUMBER("ECHOD_CONNECTIONS", open)),
		  "handing over %" PRIu64 " connections", open);
	log_flush(LOG_FLUSH_MS);
	begin = clock_ns();
	stuck = reactor_freeze(r);
	error = store(r, begin, &lost);
	log_result(error, lost);
	return stuck;
}
