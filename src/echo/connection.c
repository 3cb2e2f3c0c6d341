/* SPDX-License-Identifier: MIT */
/*
 * The echo, edge-triggered.
 *
 * epoll reports a change once.  A turn that ends before the kernel has said EAGAIN
 * must be followed by another (TURN_MORE); one that ends after it may be the last,
 * for the next change is reported:
 *
 *   recv said EAGAIN  ->  TURN_IDLE      new bytes or a FIN make an edge
 *   send said EAGAIN  ->  TURN_STALLED   room in the send buffer makes an edge
 *
 * A short read proves nothing: recv(2) also ends early at an urgent mark.
 *
 * Backpressure.  A connection whose echo the socket did not take is stalled, and
 * does not read: the receive window fills, TCP slows the client down, and memory
 * stays bounded.  When the rest is out it reads again at once, for no edge will
 * come for bytes that already wait.
 *
 * The rest waits in a pending buffer.  When the worker's budget for these has no
 * room for another full receive buffer, bytes stay in the kernel: looked at with
 * MSG_PEEK, sent, and only as many dropped as were sent.
 *
 * Streams.  While receives are large, bytes go through a pipe (pipe.h) and are not
 * copied.  When the pipe gets nothing, recv is asked why.  What the socket does not
 * take cannot stay in the pipe, which the others need too: it becomes pending, and
 * the budget must have room for it before the pipe is filled.
 *
 * No event is looked at.  EPOLLRDHUP, EPOLLHUP and EPOLLERR all mean "try"; what recv
 * and send return decides, so bytes before a FIN or an error are never lost.
 */
#include "echo/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/probe.h"
#include "base/tcp.h"

/* Receives in one turn.  A large one is a turn by itself: up to 1 MiB, some 0.3 ms. */
#define TURN_RECEIVES 4

/* A receive that is large: so much costs less by way of the pipe than copied twice. */
#define LARGE ((ssize_t)PIPE_LEAST)

/* Sends data, or what is in the pipe.  0 or -errno, EAGAIN too; `echoed` says how much went. */
static int send_out(struct connection *c, int fd, const unsigned char *data, struct pipe *pipe,
		    size_t size)
{
	size_t sent = 0;

	while (sent < size) {
		ssize_t n = data ? send(fd, data + sent, size - sent, MSG_NOSIGNAL) :
				   pipe_send(pipe, fd, size - sent);

		if (n >= 0) {
			sent += (size_t)n;
			c->echoed += (size_t)n;
			PROBE_SEND(fd, n);
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

/* Makes a pending buffer for what could not be sent. */
static int reserve(struct connection *c, struct echo *echo, size_t size)
{
	c->pending = malloc(sizeof(*c->pending) + size);
	if (!c->pending)
		return -ENOMEM;
	c->pending->size = size;
	c->pending->sent = 0;
	echo->held += size;
	return 0;
}

size_t connection_forget(struct connection *c, struct echo *echo)
{
	size_t size = c->pending ? c->pending->size : 0;

	echo->held -= size;
	free(c->pending);
	c->pending = NULL;
	return size;
}

void connection_clear(struct connection *c, struct echo *echo)
{
	connection_forget(c, echo);
	c->adopted = c->stalled = c->ready = c->finished = c->streams = false;
	c->parting = 0;
	c->owed = 0;
	c->source = NULL;
	c->acknowledged = c->echoed = 0;
}

void connection_save(const struct connection *c, struct saved *saved)
{
	uint64_t unacknowledged = c->stalled ? c->echoed - c->acknowledged : 0;

	*saved = (struct saved){
		.since = c->since,
		.echoed = c->echoed,
		.pending = c->pending ? c->pending->size - c->pending->sent : 0,
		.unacknowledged =
			unacknowledged < UINT32_MAX ? (uint32_t)unacknowledged : UINT32_MAX,
		.worker = (uint16_t)(atomic_load_explicit(&c->owner, memory_order_relaxed) - 1),
		.stalled = (uint16_t)(c->stalled + c->parting),
	};
}

int connection_restore(struct connection *c, const struct saved *saved, struct echo *echo)
{
	int r = saved->pending > 0 ? reserve(c, echo, (size_t)saved->pending) : 0;

	if (r < 0)
		return r;
	counter_add(&echo->received, saved->pending); /* what it echoes, it has received */
	c->since = saved->since;
	c->echoed = saved->echoed;
	c->stalled = saved->stalled > 0;
	c->parting = (uint8_t)(c->stalled ? saved->stalled - 1 : 0);
	c->finished = c->parting > 0;
	c->acknowledged = saved->echoed - saved->unacknowledged;
	return 0;
}

/* Sends what is pending.  Returns TURN_IDLE when none is left, TURN_STALLED or -errno. */
static int flush(struct connection *c, int fd, struct echo *echo)
{
	struct pending *p = c->pending;
	uint64_t before = c->echoed;
	int r = send_out(c, fd, p->data + p->sent, NULL, p->size - p->sent);

	p->sent += (size_t)(c->echoed - before);
	if (r == -EAGAIN) {
		PROBE_PENDING(fd, p->size - p->sent, false);
		return TURN_STALLED;
	}
	if (r == 0)
		connection_forget(c, echo);
	return r < 0 ? r : TURN_IDLE;
}

/* Takes bytes out of the receive queue that were peeked at, and are echoed. */
static int drop(int fd, struct echo *echo, size_t size)
{
	while (size > 0) {
		ssize_t n = recv(fd, echo->buffer, size, MSG_TRUNC);

		if (n > 0)
			size -= (size_t)n;
		else if (n == 0 || errno != EINTR)
			return n == 0 ? -EPROTO : -errno; /* they were there */
	}
	return 0;
}

/* What recv(2) says with 0 or an error, as a turn. */
static int nothing_received(ssize_t got)
{
	if (got == 0)
		return TURN_END;
	if (errno == EAGAIN)
		return TURN_IDLE;
	return errno == EINTR ? TURN_MORE : -errno;
}

/* One receive and its echo.  Returns as a turn, TURN_MORE if all is echoed. */
static int pass(struct connection *c, int fd, struct echo *echo)
{
	bool peek = echo->held + echo->size > echo->budget;
	ssize_t got = recv(fd, echo->buffer, echo->size, peek ? MSG_PEEK : 0);
	uint64_t before = c->echoed;
	ssize_t sent;
	int r;

	if (got <= 0)
		return nothing_received(got);
	PROBE_RECV(fd, got, peek);
	r = send_out(c, fd, echo->buffer, NULL, (size_t)got);
	sent = (ssize_t)(c->echoed - before);
	/* Also before an error, which may come after a part has been sent. */
	counter_add(&echo->received, (uint64_t)(peek ? sent : got));
	if (r < 0 && r != -EAGAIN)
		return r;
	c->streams = got >= LARGE;
	r = 0;
	if (peek)
		r = drop(fd, echo, (size_t)sent);
	else if (sent < got)
		r = reserve(c, echo, (size_t)(got - sent));
	if (r < 0)
		return r;
	if (sent == got)
		return TURN_MORE;
	if (!peek)
		memcpy(c->pending->data, echo->buffer + sent, (size_t)(got - sent));
	PROBE_PENDING(fd, got - sent, peek);
	return TURN_STALLED;
}

/* Empties the pipe, whose bytes are of no use: the connection is broken. */
static void discard(struct echo *echo, size_t size)
{
	while (size > 0) {
		size_t n = size < echo->size ? size : echo->size;

		if (pipe_take(&echo->pipe, echo->buffer, n) < 0)
			return;
		size -= n;
	}
}

/* Makes pending what is left in the pipe, which is empty then.  0 or -errno. */
static int take_back(struct connection *c, struct echo *echo, size_t size)
{
	int r = reserve(c, echo, size);

	if (r < 0)
		discard(echo, size);
	else
		r = pipe_take(&echo->pipe, c->pending->data, size);
	if (echo->pipe.refused)
		pipe_deinit(&echo->pipe);
	return r;
}

/* Sends what is in the pipe, and leaves it empty.  Returns as a turn. */
static int send_piped(struct connection *c, int fd, struct echo *echo, size_t size)
{
	uint64_t before = c->echoed;
	int r = send_out(c, fd, NULL, &echo->pipe, size);

	if (r == 0)
		return TURN_MORE;
	size -= (size_t)(c->echoed - before);
	if (r != -EAGAIN && !echo->pipe.refused) {
		discard(echo, size);
		return r;
	}
	r = take_back(c, echo, size);
	if (r < 0)
		return r;
	if (echo->pipe.refused) {
		r = flush(c, fd, echo);
		return r == TURN_IDLE ? TURN_MORE : r;
	}
	PROBE_PENDING(fd, size, false);
	return TURN_STALLED;
}

/* As pass(), by way of the pipe if that may be and pays. */
static int pass_piped(struct connection *c, int fd, struct echo *echo)
{
	ssize_t got;

	if (!c->streams || echo->pipe.room == 0 || echo->held + echo->pipe.room > echo->budget)
		return pass(c, fd, echo);
	got = pipe_fill(&echo->pipe, fd);
	if (got < 0 && errno != EAGAIN && errno != EINTR && errno != ENOMEM)
		return -errno; /* told once: recv would call it the client's FIN */
	if (got <= 0)
		return pass(c, fd, echo);
	PROBE_RECV(fd, got, false);
	counter_add(&echo->received, (uint64_t)got);
	c->streams = got >= LARGE;
	return send_piped(c, fd, echo, (size_t)got);
}

int connection_turn(struct connection *c, int fd, struct echo *echo)
{
	int r = c->pending ? flush(c, fd, echo) : TURN_IDLE;

	if (r != TURN_IDLE)
		return r;
	for (int i = 0; i < TURN_RECEIVES; i++) {
		r = pass_piped(c, fd, echo);
		if (r != TURN_MORE || c->streams)
			return r;
	}
	return TURN_MORE;
}

/* Receives and throws away.  Returns as a turn. */
static int receive_nothing(int fd, struct echo *echo)
{
	int r = TURN_MORE;

	for (int i = 0; r == TURN_MORE && i < TURN_RECEIVES; i++) {
		ssize_t n = recv(fd, echo->buffer, echo->size, 0);

		r = n > 0 ? TURN_MORE : nothing_received(n);
	}
	return r;
}

/* Sends our FIN, once: all that was to be echoed is given to the kernel.  0 or -errno. */
static int finish(struct connection *c, int fd)
{
	c->finished = true;
	return shutdown(fd, SHUT_WR) < 0 ? -errno : 0;
}

int connection_last_turn(struct connection *c, int fd, struct echo *echo)
{
	uint64_t received = counter_get(&echo->received);
	int r = TURN_IDLE;

	if (c->finished)
		return receive_nothing(fd, echo);
	if (c->owed > 0)
		r = connection_turn(c, fd, echo);
	else if (c->pending)
		r = flush(c, fd, echo);
	received = counter_get(&echo->received) - received;
	c->owed -= received < c->owed ? (uint32_t)received : c->owed;
	if (r != TURN_IDLE)
		return r;
	(void)finish(c, fd);
	return TURN_MORE; /* it may be broken, or a FIN may wait behind what was not received */
}

int connection_part(struct connection *c, int fd)
{
	int r;

	if (tcp_unacknowledged(fd) == 0)
		return TURN_END;
	if (c->finished)
		return TURN_STALLED;
	r = finish(c, fd);
	if (r < 0)
		return r;
	/* A client nearby has acknowledged our FIN, and so all before it, within the call. */
	return tcp_unacknowledged(fd) == 0 ? TURN_END : TURN_STALLED;
}
