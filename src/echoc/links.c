/* SPDX-License-Identifier: MIT */
/*
 * A link's states:
 *
 *   NEW         not begun, or with --churn between two connections
 *   CONNECTING  connect(2) is under way
 *   TALKING     messages go out and come back
 *   ENDING      our FIN is sent; the server's is awaited
 *   OVER        nothing more will happen here
 *
 * As in the daemon there is one EPOLL_CTL_ADD for a connection, edge-triggered,
 * and everything is read and written until EAGAIN.
 *
 * The plan.  With a rate R, message m of all is due at start + m / R, whatever
 * the server does; loader t of T takes the messages t, t + T, t + 2T and so on,
 * and gives them to its links in turn.  So a link's k-th message has a time
 * that follows from k alone.  When the server is slow the message is sent
 * later, but its latency counts from that time: no coordinated omission.
 * Without a rate a message is due when there is room for it.
 */
#include "echoc/links.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "echoc/payload.h"

/* Without --duration a connection that is this many timeouts late is given up. */
#define GIVE_UP 10

#define options_of(l) ((l)->plan->options)
#define phase_of(l) ((l)->phase)

/* The share of loader `number` when `total` things are dealt out in turn. */
static uint64_t share(uint64_t total, unsigned number, unsigned threads)
{
	return total / threads + (number < total % threads);
}

static void close_link(struct links *l, struct link *k)
{
	close(k->fd);
	atomic_fetch_sub(&l->open, 1);
}

int links_init(struct links *l, struct plan *plan, unsigned number)
{
	const struct options *o = plan->options;
	int r = 0;

	l->plan = plan;
	l->number = number;
	l->n = (unsigned)share(o->connections, number, o->threads);
	l->left = o->messages ? share(o->messages, number, o->threads) : UINT64_MAX;
	l->random = payload_key(o->seed ^ 0x5bd1e995, number);
	l->context.tally = &l->tally;
	l->context.buffer = malloc(STREAM_CHUNK);
	l->at = calloc(l->n, sizeof(*l->at));
	if (!l->context.buffer || !l->at)
		r = -ENOMEM;
	for (unsigned i = 0; i < l->n && r == 0; i++)
		r = stream_init(&l->at[i].stream, o->churn ? 1 : o->pipeline);
	return r < 0 ? r : poller_init(&l->poller, "loader", false);
}

void links_deinit(struct links *l)
{
	for (unsigned i = 0; l->at && i < l->n; i++) {
		struct link *k = &l->at[i];

		if (k->state > NEW && k->state < OVER)
			close_link(l, k);
		stream_deinit(&k->stream);
	}
	free(l->at);
	free(l->by_fd);
	free(l->context.buffer);
	if (l->poller.name)
		poller_deinit(&l->poller);
}

/* The connection's first end, good or bad: main waits for that of all. */
static void has_tried(struct links *l, struct link *k)
{
	if (k->tried)
		return;
	k->tried = true;
	if (++l->n_tried == l->n) {
		atomic_store(&l->has_tried, true);
		(void)eventfd_write(l->plan->done_fd, 1);
	}
}

static void set_over(struct links *l, struct link *k)
{
	k->state = OVER;
	l->n_over++;
	if (k->due > k->sent) /* planned, and never sent */
		counter_add(&l->tally.lost, k->due - k->sent);
	has_tried(l, k);
}

/* Has the link's events come to it.  0 or -errno. */
static int watch(struct links *l, struct link *k)
{
	size_t n = (size_t)k->fd + 1;
	struct link **by_fd;

	if (n > l->n_by_fd) {
		by_fd = reallocarray(l->by_fd, 2 * n, sizeof(struct link *));
		if (!by_fd)
			return -ENOMEM;
		l->by_fd = by_fd;
		l->n_by_fd = 2 * n;
	}
	l->by_fd[k->fd] = k;
	return poller_add(&l->poller, k->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

/* Tries the next of the target's addresses.  0, or -errno of the last one. */
static int try_addresses(struct links *l, struct link *k, const struct address *source)
{
	const struct target *t = l->plan->target;
	int r = -ENOENT;

	for (; k->address < t->n; k->address++) {
		k->began = clock_ns();
		k->fd = target_begin(&t->addresses[k->address], source);
		if (k->fd < 0) {
			r = k->fd;
			continue;
		}
		r = watch(l, k);
		if (r == 0)
			return 0;
		close(k->fd);
	}
	return r;
}

/* The number of a link among all, which is that of its first connection. */
static uint64_t number_of(const struct links *l, const struct link *k)
{
	return l->number + (uint64_t)(k - l->at) * options_of(l)->threads;
}

void links_connect(struct links *l, struct link *k)
{
	const struct options *o = options_of(l);
	uint64_t number = number_of(l, k) + (uint64_t)k->made * o->connections;
	int r = try_addresses(l, k, o->n_sources ? &o->sources[number % o->n_sources] : NULL);

	if (r < 0) {
		atomic_store(&l->error, -r);
		counter_add(&l->tally.connect_failures, 1);
		set_over(l, k);
		return;
	}
	atomic_fetch_add(&l->open, 1);
	stream_begin(&k->stream, o->seed, number);
	k->state = CONNECTING;
	l->n_connecting++;
}

/* A connect has failed: the next address, or none. */
static void retry_connect(struct links *l, struct link *k, int error)
{
	l->n_connecting--;
	close_link(l, k);
	atomic_store(&l->error, error);
	k->address++;
	if (k->address < l->plan->target->n) {
		links_connect(l, k);
		return;
	}
	counter_add(&l->tally.connect_failures, 1);
	set_over(l, k);
}

int64_t links_time(const struct links *l, uint64_t m)
{
	const struct options *o = options_of(l);

	double ns = (double)(l->number + m * o->threads) / o->rate * 1e9;

	return ns < 4e18 ? atomic_load(&l->plan->start) + (int64_t)ns : INT64_MAX;
}

static bool may_add(const struct links *l, const struct link *k)
{
	const struct options *o = options_of(l);

	if (!stream_has_room(&k->stream) || (o->churn && k->stream.goal > 0))
		return false;
	return o->rate > 0 ? k->due > k->sent : l->left > 0 && phase_of(l) == PHASE_TALK;
}

static size_t next_size(struct links *l)
{
	const struct options *o = options_of(l);

	if (o->min_size == o->max_size)
		return o->min_size;
	l->random = l->random * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
	return o->min_size + (size_t)((l->random >> 32) % (o->max_size - o->min_size + 1));
}

static void add_messages(struct links *l, struct link *k)
{
	bool planned = options_of(l)->rate > 0;
	uint64_t index = (uint64_t)(k - l->at);

	for (; may_add(l, k); k->sent++) {
		int64_t when = planned ? links_time(l, index + k->sent * l->n) : clock_ns();

		if (!planned) {
			l->left--;
			counter_add(&l->tally.messages_due, 1);
		}
		stream_add(&k->stream, next_size(l), when, &l->tally);
	}
}

/* Nothing is on its way, and nothing more will go out on this connection. */
static bool is_finished(const struct links *l, const struct link *k)
{
	if (!stream_is_quiet(&k->stream) || may_add(l, k))
		return false;
	if (options_of(l)->churn && k->stream.goal > 0)
		return true;
	return phase_of(l) != PHASE_CONNECT && (phase_of(l) >= PHASE_END || l->left == 0);
}

/* With --churn: the next connection, if there is a message for it. */
static void renew(struct links *l, struct link *k)
{
	bool talking = phase_of(l) == PHASE_TALK;

	if (options_of(l)->rate > 0 ? k->due > k->sent : talking && l->left > 0) {
		k->made++;
		k->address = 0;
		links_connect(l, k);
	} else if (talking && l->left > 0) {
		k->state = NEW; /* until its next message is due */
	} else {
		set_over(l, k);
	}
}

/* Both sides have ended, or the other one takes too long for it. */
static void end_link(struct links *l, struct link *k)
{
	close_link(l, k);
	if (options_of(l)->churn)
		renew(l, k);
	else
		set_over(l, k);
}

/* Ends a connection that cannot go on; what is on its way is lost. */
static void break_off(struct links *l, struct link *k, counter *reason)
{
	if (reason)
		counter_add(reason, 1);
	stream_expire(&k->stream, INT64_MAX, &l->tally);
	end_link(l, k);
}

static void advance(struct links *l, struct link *k)
{
	int r;

	add_messages(l, k);
	r = stream_send(&k->stream, k->fd, &l->context);
	if (r < 0) {
		break_off(l, k, &l->tally.resets);
	} else if (is_finished(l, k)) {
		shutdown(k->fd, SHUT_WR); /* if it is broken, receiving shows it */
		k->state = ENDING;
		k->began = l->now;
	}
}

static void on_connecting(struct links *l, struct link *k)
{
	int r = target_finish(k->fd);

	if (r < 0) {
		retry_connect(l, k, -r);
		return;
	}
	l->n_connecting--;
	k->state = TALKING;
	counter_add(&l->tally.connections, 1);
	histogram_record(&l->tally.connect, clock_ns() - k->began);
	has_tried(l, k);
	advance(l, k);
}

static void on_talking(struct links *l, struct link *k)
{
	int r = stream_receive(&k->stream, k->fd, &l->context);

	if (r == STREAM_WAIT)
		advance(l, k);
	else if (r == STREAM_END)
		break_off(l, k, &l->tally.early_closes);
	else
		break_off(l, k, r == -EBADMSG ? NULL : &l->tally.resets);
}

static void on_ending(struct links *l, struct link *k)
{
	int r = stream_receive(&k->stream, k->fd, &l->context);

	if (r == STREAM_END)
		end_link(l, k);
	else if (r < 0)
		break_off(l, k, r == -EBADMSG ? NULL : &l->tally.resets);
}

void links_serve(struct links *l, int fd)
{
	struct link *k = l->by_fd[fd];

	if (k->state == CONNECTING)
		on_connecting(l, k);
	else if (k->state == TALKING)
		on_talking(l, k);
	else if (k->state == ENDING)
		on_ending(l, k);
}

void links_give(struct links *l, struct link *k)
{
	counter_add(&l->tally.messages_due, 1);
	l->left--;
	if (k->state == OVER) {
		counter_add(&l->tally.lost, 1);
		return;
	}
	k->due++;
	if (k->state == TALKING)
		advance(l, k);
	else if (k->state == NEW)
		renew(l, k);
}

/* Lost messages fill its pipeline for long, and no --duration will end that. */
static bool is_stuck(const struct links *l, const struct link *k)
{
	const struct options *o = options_of(l);

	return !o->duration && stream_is_quiet(&k->stream) &&
	       stream_waits_since(&k->stream) < l->now - GIVE_UP * o->timeout;
}

void links_expire(struct links *l, struct link *k, int64_t end)
{
	const struct options *o = options_of(l);

	switch (k->state) {
	case CONNECTING:
		if (k->began + o->connect_timeout < l->now)
			retry_connect(l, k, ETIMEDOUT);
		break;
	case TALKING:
		stream_expire(&k->stream, l->now - o->timeout, &l->tally);
		if ((phase_of(l) == PHASE_END && end + o->timeout < l->now) || is_stuck(l, k))
			break_off(l, k, NULL);
		else
			advance(l, k);
		break;
	case ENDING:
		if (k->began + o->timeout < l->now)
			end_link(l, k);
		break;
	case NEW:
		if (phase_of(l) != PHASE_CONNECT && (phase_of(l) >= PHASE_END || l->left == 0))
			set_over(l, k);
		break;
	default:
		break;
	}
}

void links_abandon(struct links *l)
{
	for (unsigned i = 0; i < l->n; i++)
		stream_expire(&l->at[i].stream, INT64_MAX, &l->tally);
}
