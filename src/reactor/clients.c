/*
 * Turns.  One is bounded (connection.c); a connection that is not through with
 * it goes to the end of the ready queue.  So one client's stream cannot starve
 * the others, and no edge is forgotten: a connection that has not seen EAGAIN
 * is always on the queue.
 *
 * Ends.  A socket that is closed while bytes of ours are unacknowledged lives on
 * in the kernel with its send buffer, beyond every limit.  So a connection is
 * closed in order only when its client's kernel has everything.  Until then,
 * after our FIN, it is `parting`: it keeps its descriptor, its record and its
 * place in all limits, and stands among the stalled, so that stall_timeout
 * bounds it.  The last acknowledgement makes an edge, and so does an error.
 *
 * Draining.  Each one gets the echo of what had arrived when the draining
 * began, then our FIN; what its client still sends is thrown away until its own
 * FIN comes.
 */
#include "reactor/clients.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "base/probe.h"

/* Connections that may be ended by a timeout in one round, some 15 us each. */
#define EXPIRED 64

static int fd_of(const struct clients *s, const struct connection *c)
{
	return (int)connections_index(s->connections, c);
}

/* False if the client must not take this end for that of a whole echo. */
static bool is_whole(const struct connection *c, enum closing reason)
{
	if (reason == CLOSED_BY_SHUTDOWN)
		return c->finished || !c->stalled;
	return reason != CLOSED_BY_ERROR && reason != CLOSED_STALLED;
}

/*
 * The order matters: an empty record; "nobody" with release; its place in the
 * limits, so that a client that has seen the end can come again at once; then
 * close(2), after which the acceptor may get the same descriptor and look at
 * the same record.
 */
void clients_end(struct clients *s, struct connection *c, enum closing reason, int error)
{
	int fd = fd_of(s, c);
	struct source *source = c->source;

	log_debug("%s: descriptor %d closed (%s) after %llu bytes", s->name, fd,
		  error ? strerrordesc_np(error) : closing_name(reason),
		  (unsigned long long)c->echoed);
	if (!is_whole(c, reason))
		connection_reset_on_close(fd); /* also so that no orphan keeps what nobody reads */
	PROBE_CLOSE(fd, reason, error, c->echoed);
	timeouts_remove(&s->timeouts, c);
	connection_clear(c, &s->echo);
	atomic_store_explicit(&c->owner, 0, memory_order_release);
	limiter_release(s->limiter, source);
	counter_increment(&s->closed[reason]);
	counter_increment(&s->closed_total);
	close(fd);
}

/* Ends a connection whose echo the kernel has: now, or when the client has it too. */
static void part(struct clients *s, struct connection *c, enum closing reason)
{
	int r = reason == CLOSED_BY_ERROR ? -ECONNRESET : connection_part(c, fd_of(s, c));

	if (r != TURN_STALLED) {
		clients_end(s, c, r < 0 ? CLOSED_BY_ERROR : reason, r < 0 ? -r : 0);
	} else if (!c->parting) {
		c->parting = (uint8_t)(reason + 1);
		timeouts_restart(&s->timeouts, c, true);
	}
}

/* A turn while we drain: what came after its beginning is not echoed. */
static int last_turn(struct clients *s, struct connection *c, int fd)
{
	uint64_t received = s->echo.received;
	int r;

	if (c->finished)
		return connection_discard(fd, &s->echo);
	if (c->owed == 0)
		return connection_flush(c, fd, &s->echo);
	r = connection_turn(c, fd, &s->echo);
	received = s->echo.received - received;
	c->owed -= received < c->owed ? (uint32_t)received : c->owed;
	return r;
}

static int turn(struct clients *s, struct connection *c)
{
	int fd = fd_of(s, c);
	uint64_t before = c->echoed;
	int r = s->draining ? last_turn(s, c, fd) : connection_turn(c, fd, &s->echo);

	counter_set(&s->received, s->echo.received);
	counter_add(&s->echoed, c->echoed - before);
	if (r < 0 || r == TURN_END)
		return r;
	if (c->stalled != (r == TURN_STALLED) || (c->echoed != before && r != TURN_STALLED))
		timeouts_restart(&s->timeouts, c, r == TURN_STALLED);
	return r;
}

/*
 * It has the echo of all that it is owed.  It comes again at once, for it may be
 * broken, or its own FIN may be here already, behind what was not received.
 */
static void finish(struct clients *s, struct connection *c)
{
	(void)connection_finish(c, fd_of(s, c));
	connections_enqueue(s->connections, &s->ready, c);
}

static void serve(struct clients *s, struct connection *c)
{
	int r;

	if (c->parting) {
		part(s, c, (enum closing)(c->parting - 1));
		return;
	}
	r = turn(s, c);
	if (r < 0)
		clients_end(s, c, CLOSED_BY_ERROR, -r);
	else if (r == TURN_END)
		part(s, c, CLOSED_BY_CLIENT);
	else if (r == TURN_MORE)
		connections_enqueue(s->connections, &s->ready, c);
	else if (r == TURN_IDLE && s->draining && !c->finished)
		finish(s, c);
}

void clients_serve(struct clients *s)
{
	uint32_t last = s->ready.tail; /* those that come behind it wait for the next round */

	while (s->ready.head) {
		struct connection *c = connections_dequeue(s->connections, &s->ready);
		uint32_t index = connections_index(s->connections, c);

		serve(s, c);
		if (index == last)
			break;
	}
}

static void adopt(struct clients *s, struct connection *c, int64_t since)
{
	c->adopted = true;
	if (s->draining)
		c->owed = connection_arrived(fd_of(s, c));
	timeouts_add(&s->timeouts, c, since);
	PROBE_ADOPT(fd_of(s, c), s->number);
}

/*
 * It is in its list at once: if it can neither be read nor written, no event
 * comes to tell of it, and yet it has a timeout.
 */
void clients_resume(struct clients *s, int fd)
{
	struct connection *c = connections_at(s->connections, (uint32_t)fd);

	if (c->pending)
		s->echo.received += c->pending->size; /* what it echoes, it has received */
	counter_set(&s->received, s->echo.received);
	adopt(s, c, c->since);
}

/*
 * True if a connection must have a turn for this event.  While it is stalled it
 * does not read, so what its client sends is no reason.  To others "writable"
 * alone says nothing; all else, whatever its name, means that there is something
 * to receive.
 */
static bool is_reason(const struct clients *s, const struct connection *c, uint32_t events)
{
	if (c->stalled)
		return events & (EPOLLOUT | EPOLLHUP | EPOLLERR);
	return s->draining || (events & ~(uint32_t)EPOLLOUT);
}

void clients_hear(struct clients *s, int fd, uint32_t events)
{
	struct connection *c = connections_at(s->connections, (uint32_t)fd);

	if (!c->adopted)
		adopt(s, c, s->timeouts.now);
	if (c->parting && (events & EPOLLERR))
		c->parting = CLOSED_BY_ERROR + 1; /* nothing more will be acknowledged */
	if (is_reason(s, c, events))
		connections_enqueue(s->connections, &s->ready, c);
}

void clients_expire(struct clients *s)
{
	struct timeouts *t = &s->timeouts;
	struct connection *c;

	for (int i = 0; i < EXPIRED; i++) {
		if ((c = timeouts_idle(t)))
			part(s, c, CLOSED_IDLE);
		else if (!(c = timeouts_stalled(t)))
			return;
		else if (timeouts_is_slow(t, c))
			timeouts_restart(t, c, true);
		else
			clients_end(s, c, CLOSED_STALLED, 0);
	}
}

int clients_patience(const struct clients *s)
{
	return s->ready.head ? 0 : timeouts_patience(&s->timeouts);
}

static void drain_list(struct clients *s, const struct list *list)
{
	for (uint32_t i = list->head; i; i = connections_at(s->connections, i)->younger) {
		connections_at(s->connections, i)->owed = connection_arrived((int)i);
		connections_enqueue(s->connections, &s->ready, connections_at(s->connections, i));
	}
}

void clients_drain(struct clients *s)
{
	s->draining = true;
	drain_list(s, &s->timeouts.idle);
	drain_list(s, &s->timeouts.stalled);
}

static void end_list(struct clients *s, const struct list *list)
{
	while (list->head)
		clients_end(s, connections_at(s->connections, list->head), CLOSED_BY_SHUTDOWN, 0);
}

void clients_end_all(struct clients *s)
{
	s->ready.head = 0;
	end_list(s, &s->timeouts.idle);
	end_list(s, &s->timeouts.stalled);
}
