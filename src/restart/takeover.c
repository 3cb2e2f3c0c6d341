/*
 * The new registration in an epoll instance reports what is ready now, so
 * whatever edge the predecessor had not served comes again.  Stored
 * descriptors are removed from the store before they are looked at: if they
 * should be our end, they are so once only.
 *
 * No other thread may run yet.  Once the table of descriptors is shared, the
 * kernel waits for an RCU grace period each time it doubles: with 10,000
 * sockets that came to 100 ms in which nobody was served.
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
#include "restart/fdpass.h"
#include "restart/state.h"
#include "systemd/fdstore.h"

struct taking {
	struct reactor *reactor;
	struct state state; /* without connections if it was not understood */
	int64_t now, last;  /* ms: since must be between these */
	uint32_t carried, dropped;
};

/*
 * 0 if it is a TCP socket that does not listen; makes it non-blocking.  Whether
 * it is connected, the first recv(2) tells.
 */
static int check_socket(int fd)
{
	int protocol = 0, listening = 0;
	socklen_t size = sizeof(protocol);

	if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0)
		return -errno;
	if ((protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP) || listening)
		return -EPROTOTYPE;
	return fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0 ? -errno : 0;
}

/* Counts it for the limits. */
static void count(struct limiter *limiter, int fd, struct source **source)
{
	struct address peer = { .size = sizeof(peer.v6) };

	if (!limiter_keeps_sources(limiter) || getpeername(fd, &peer.any, &peer.size) < 0)
		limiter_count(limiter, NULL, 0, source);
	else
		limiter_count(limiter, &peer, clock_ns(), source);
}

/* The record's pending bytes in *pending, NULL if there are none. */
static int read_pending(struct taking *t, const struct state_record *record,
			struct pending **pending)
{
	int r;

	*pending = NULL;
	if (record->pending == 0)
		return 0;
	*pending = malloc(sizeof(**pending) + (size_t)record->pending);
	if (!*pending)
		return -ENOMEM;
	(*pending)->size = (size_t)record->pending;
	(*pending)->sent = 0;
	r = state_read_pending(&t->state, (*pending)->data);
	if (r < 0) {
		free(*pending);
		*pending = NULL;
	}
	return r;
}

static struct worker *worker_of(const struct taking *t, const struct state_record *record,
				uint32_t number)
{
	struct reactor *r = t->reactor;
	bool same = t->state.n_workers == r->n_workers && record->worker < r->n_workers;

	return &r->workers[same ? record->worker : number % r->n_workers];
}

/* Puts one connection to work.  0, or -errno and nothing was done. */
static int resume(struct taking *t, const struct state_record *record, uint32_t number, int fd)
{
	struct worker *w = worker_of(t, record, number);
	struct pending *pending;
	struct connection *c;
	int r;

	if ((uint32_t)fd >= t->reactor->connections.size)
		return -EMFILE;
	r = check_socket(fd);
	if (r < 0)
		return r;
	r = read_pending(t, record, &pending);
	if (r < 0)
		return r;
	c = connections_at(&t->reactor->connections, (uint32_t)fd);
	c->pending = pending;
	c->since = t->last;
	c->echoed = record->echoed;
	c->stalled = record->stalled > 0;
	c->parting = (uint8_t)(c->stalled ? record->stalled - 1 : 0);
	c->finished = c->parting > 0;
	c->acknowledged = record->echoed - record->unacknowledged;
	count(&t->reactor->limiter, fd, &c->source);
	worker_resume(w, fd);
	w->clients.echo.received += record->pending; /* what it echoes, it has received */
	counter_set(&w->clients.received, w->clients.echo.received);
	return 0;
}

static void take_socket(void *context, uint32_t number, int fd)
{
	struct taking *t = context;
	struct state *s = &t->state;
	struct state_record record;
	int r = -EBADMSG;

	while (s->next < number && s->next < s->n_connections)
		(void)state_next(s, &record); /* whose socket is missing */
	if (s->next == number)
		r = state_next(s, &record);
	if (r == 0) {
		if (record.since > t->last)
			t->last = record.since < t->now ? record.since : t->now;
		r = resume(t, &record, number, fd);
	}
	if (r == 0) {
		t->carried++;
		return;
	}
	t->dropped++;
	connection_reset_on_close(fd); /* it is not ours to say that its echo is whole */
	close(fd);
}

/* What is lost was accepted, and has ended by an error. */
static void count_lost(struct reactor *r, uint32_t lost)
{
	counter_add(&r->workers[0].accepted, lost);
	counter_add(&r->workers[0].clients.closed_total, lost);
	counter_add(&r->workers[0].clients.closed[CLOSED_BY_ERROR], lost);
}

static void take_all(struct taking *t, struct activation *a)
{
	for (size_t i = 0; i < ACTIVATION_CARRIERS; i++) {
		if (a->carriers[i] < 0)
			continue;
		fdpass_unpack(a->carriers[i], take_socket, t);
		close(a->carriers[i]);
		a->carriers[i] = -1;
	}
}

static void remove_from_store(const struct activation *a)
{
	if (a->state >= 0)
		fdstore_remove(FDSTORE_STATE, -1);
	for (size_t i = 0; i < ACTIVATION_CARRIERS; i++)
		if (a->carriers[i] >= 0)
			fdstore_remove(FDSTORE_CARRIER, (int)i);
}

struct takeover takeover_run(struct reactor *r, struct activation *a)
{
	struct taking t = { .reactor = r, .now = clock_ms() };
	struct takeover result = { 0 };

	remove_from_store(a);
	if (a->state >= 0) {
		result.error = state_open(&t.state, a->state);
		a->state = -1;
	}
	take_all(&t, a);
	if (t.state.n_connections > t.carried + t.dropped)
		t.dropped = t.state.n_connections - t.carried;
	count_lost(r, t.dropped);
	result.carried = t.carried;
	result.lost = t.dropped;
	result.frozen = t.state.frozen;
	state_close(&t.state);
	return result;
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
			  "%" PRIu32 " connections were lost on the way", t->lost);
}
