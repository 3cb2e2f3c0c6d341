/* SPDX-License-Identifier: MIT */
/*
 * A new registration in an epoll instance reports what is ready now, so each
 * edge that the predecessor had not served comes again.  Stored descriptors are
 * removed from the store before they are looked at: should one of them end this
 * process, the next one does not get it.
 *
 * No other thread may run yet.  Once the table of descriptors is shared, the
 * kernel waits for an RCU grace period each time it doubles: with 10,000
 * sockets that came to 100 ms in which no client was served.
 *
 * The records are in the order of their last progress, for that is the order
 * of a worker's lists, and the sockets come in the order of the records.  A
 * number that does not ascend is a forgery, one that is missing a loss.
 */
#include "restart/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/tcp.h"
#include "restart/fdpass.h"
#include "restart/state.h"
#include "systemd/fdstore.h"

struct taking {
	struct reactor *reactor;
	struct state state; /* without connections if it was not understood */
	int64_t now, last;  /* ms: since must be between these */
	struct takeover result;
};

/*
 * True if it is a TCP socket that does not listen, and could be made
 * non-blocking.  Whether it is connected, the first recv(2) tells.
 */
static bool prepare(int fd)
{
	int protocol = 0, listening = 0;
	socklen_t size = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 &&
	       (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP) && !listening &&
	       fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0;
}

static struct worker *worker_of(const struct taking *t, const struct saved *saved, uint32_t number)
{
	struct shared *s = &t->reactor->shared;
	bool same = t->state.n_workers == s->n_workers && saved->worker < s->n_workers;

	return &s->workers[same ? saved->worker : number % s->n_workers];
}

/* Counts the connection for the limits; a peer that is gone has no address. */
static void count(const struct taking *t, struct connection *c, int fd)
{
	struct address peer = { .size = sizeof(peer.v6) };
	bool known = getpeername(fd, &peer.any, &peer.size) == 0;

	limiter_count(&t->reactor->shared.limiter, known ? &peer : NULL, t->now * 1000000,
		      &c->source);
}

/* Restores one connection and gives it to its worker.  Or returns false, and nothing was done. */
static bool restore(struct taking *t, const struct saved *saved, uint32_t number, int fd)
{
	const struct connections *all = &t->reactor->shared.connections;
	struct worker *w = worker_of(t, saved, number);
	struct connection *c;

	if ((uint32_t)fd >= all->size || !prepare(fd))
		return false;
	c = connections_at(all, (uint32_t)fd);
	if (connection_restore(c, saved, &w->echo) < 0 ||
	    (c->pending && state_read_pending(&t->state, c->pending->data) < 0)) {
		connection_clear(c, &w->echo);
		return false;
	}
	count(t, c, fd);
	worker_resume(w, fd);
	return true;
}

static void take_socket(void *context, uint32_t number, int fd)
{
	struct taking *t = context;
	struct state *s = &t->state;
	struct saved saved;

	while (s->next < number && state_next(s, &saved) == 0)
		continue; /* its socket is missing */
	if (s->next == number && state_next(s, &saved) == 0) {
		if (saved.since > t->last)
			t->last = saved.since < t->now ? saved.since : t->now;
		saved.since = t->last;
		if (restore(t, &saved, number, fd)) {
			t->result.carried++;
			return;
		}
	}
	t->result.lost++;
	tcp_reset_on_close(fd, true); /* its echo may not be whole */
	close(fd);
}

static void take_all(struct taking *t, struct activation *a)
{
	if (a->state >= 0) {
		fdstore_remove(FDSTORE_STATE, -1);
		t->result.error = state_open(&t->state, a->state);
		a->state = -1;
	}
	for (int i = 0; i < ACTIVATION_CARRIERS; i++) {
		if (a->carriers[i] < 0)
			continue;
		fdstore_remove(FDSTORE_CARRIER, i);
		fdpass_unpack(a->carriers[i], take_socket, t);
		close(a->carriers[i]);
		a->carriers[i] = -1;
	}
}

struct takeover takeover_run(struct reactor *r, struct activation *a)
{
	struct taking t = { .reactor = r, .now = clock_ms() };
	struct takeover *result = &t.result;
	struct worker *first = r->shared.workers;

	take_all(&t, a);
	if (t.state.n_connections > result->carried + result->lost)
		result->lost = t.state.n_connections - result->carried;
	counter_add(&first->accepted, result->lost); /* and it has ended by an error */
	counter_add(&first->closed[CLOSED_BY_ERROR], result->lost);
	result->frozen = t.state.frozen;
	state_close(&t.state);
	return *result;
}

static void log_failure(int error, uint32_t lost)
{
	const char *why = error == -EPROTONOSUPPORT ?
				  "their state is of a newer version, which this one cannot read" :
			  error == -EBADMSG ? "their state is damaged" :
					      strerrordesc_np(-error);

	log_event(EVENT_TAKE_OVER_FAILED,
		  FIELDS(FIELD_NUMBER("ECHOD_LOST", lost), FIELD("ECHOD_ERROR", why)),
		  "cannot take over %" PRIu32 " connections: %s", lost, why);
}

void takeover_log(const struct takeover *t)
{
	int64_t pause_us = t->frozen ? (clock_ns() - t->frozen) / 1000 : 0;

	if (t->carried > 0)
		log_event(EVENT_TAKEN_OVER,
			  FIELDS(FIELD_NUMBER("ECHOD_CONNECTIONS", t->carried),
				 FIELD_NUMBER("ECHOD_MICROSECONDS", pause_us)),
			  "took over %" PRIu32 " connections after %" PRId64 " us", t->carried,
			  pause_us);
	if (t->error != 0)
		log_failure(t->error, t->lost);
	else if (t->lost > 0)
		log_event(EVENT_CONNECTIONS_LOST, FIELDS(FIELD_NUMBER("ECHOD_LOST", t->lost)),
			  "%" PRIu32 " connections were lost at the restart", t->lost);
}
