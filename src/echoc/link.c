/* SPDX-License-Identifier: MIT */
/*
 * A link's states:
 *
 *   NEW         not begun, or with --churn between two connections
 *   CONNECTING  connect(2) is under way
 *   TALKING     messages go out and come back
 *   ENDING      our FIN is sent; the server's is awaited
 *   AWAY        the connection was lost; with --reconnect the next is made soon
 *   OVER        nothing more will happen here
 *
 * As in the daemon there is one EPOLL_CTL_ADD for a connection, edge-triggered,
 * and everything is read and written until EAGAIN.
 *
 * Every state has an end.  A connect has --connect-timeout for each address.  A
 * connection that owes an answer and is silent for --timeout loses what is on its way;
 * after the end of the load it is closed then, and in any case after ten times as long.
 */
#include "echoc/link.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "echoc/dial.h"

/* A connection may be silent for so many timeouts if no other end is set. */
#define GIVE_UP 10

#define options_of(l) ((l)->plan->options)

static bool has_message(const struct links *l, const struct link *k)
{
	if (options_of(l)->rate > 0)
		return k->due > k->taken && !dial_is_late(l);
	return l->left > 0 && l->phase == PHASE_TALK;
}

static bool may_add(const struct links *l, const struct link *k)
{
	return stream_has_room(&k->stream) && !(options_of(l)->churn && k->stream.goal > 0) &&
	       has_message(l, k);
}

static void add_messages(struct links *l, struct link *k)
{
	bool planned = options_of(l)->rate > 0;

	for (; may_add(l, k); k->taken++) {
		int64_t when = planned ? links_time(l, k, k->taken) : clock_ns();
		bool counts = plan_counts(l->plan, when);

		if (!planned) {
			l->left -= counts;
			counter_add(&l->tally.messages_due, counts);
		}
		stream_add(&k->stream, plan_size(l->plan, &l->random), when, counts);
	}
}

/* Nothing is on its way, and nothing more will go out on this connection. */
static bool is_finished(const struct links *l, const struct link *k)
{
	if (!stream_is_quiet(&k->stream) || may_add(l, k))
		return false;
	if (options_of(l)->churn && k->stream.goal > 0)
		return true;
	return l->phase != PHASE_CONNECT && (l->phase >= PHASE_END || l->left == 0);
}

/* With --churn: the next connection, if there is a message for it. */
static void renew(struct links *l, struct link *k)
{
	if (has_message(l, k)) {
		k->made++;
		dial_connect(l, k);
	} else if (l->phase == PHASE_TALK && l->left > 0) {
		k->state = NEW; /* until its next message is due */
	} else {
		dial_over(l, k);
	}
}

/* Both sides have ended, or the other one takes too long for it. */
static void end_link(struct links *l, struct link *k)
{
	dial_close(l, k);
	if (options_of(l)->churn)
		renew(l, k);
	else
		dial_over(l, k);
}

/* What was never sent can be sent on the next connection. */
static void take_back(struct links *l, struct link *k, uint64_t n)
{
	k->taken -= n;
	if (options_of(l)->rate > 0)
		return;
	l->left += n;
	counter_add(&l->tally.messages_due, -n);
}

/* Ends a connection that cannot go on; what is on its way is lost.  error: errno or 0. */
static void break_off(struct links *l, struct link *k, counter *reason, int error)
{
	int64_t silent = stream_silent_since(&k->stream);
	counter unsent = 0;
	unsigned lost = stream_abandon(&k->stream, &l->tally.lost, &unsent);

	if (reason)
		counter_increment(reason);
	dial_note_error(l, k, error);
	if (options_of(l)->reconnect && !l->end) {
		dial_close(l, k);
		take_back(l, k, counter_get(&unsent));
		k->made++;
		dial_go_away(l, k, error == ETIMEDOUT && silent < l->now ? silent : l->now, lost);
	} else {
		counter_add(&l->tally.unsent, counter_get(&unsent));
		end_link(l, k);
	}
}

static void advance(struct links *l, struct link *k)
{
	int r;

	add_messages(l, k);
	r = stream_send(&k->stream, k->fd, &l->context);
	if (r < 0) {
		break_off(l, k, &l->tally.resets, -r);
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
		dial_retry(l, k, -r);
		return;
	}
	l->n_connecting--;
	l->plan->answered = (k->first + k->tries) % (unsigned)l->plan->target->n;
	k->state = TALKING;
	counter_increment(&l->tally.connections);
	histogram_record(&l->tally.connect, clock_ns() - k->began);
	dial_note_tried(l, k);
	if (k->lost_at && !may_add(l, k)) /* else the first answer shows it */
		dial_come_back(l, k);
	advance(l, k);
}

/* TALKING or ENDING. */
static void on_connected(struct links *l, struct link *k)
{
	int r = stream_receive(&k->stream, k->fd, &l->context);

	if (k->lost_at && k->stream.read > 0)
		dial_come_back(l, k);
	if (r == STREAM_WAIT && k->state == TALKING)
		advance(l, k);
	else if (r == STREAM_END && k->state == ENDING)
		end_link(l, k);
	else if (r == STREAM_END)
		break_off(l, k, &l->tally.early_closes, 0);
	else if (r < 0)
		break_off(l, k, r == -EBADMSG ? NULL : &l->tally.resets, r == -EBADMSG ? 0 : -r);
}

void link_serve(struct links *l, struct link *k)
{
	if (k->state == CONNECTING)
		on_connecting(l, k);
	else if (k->state == TALKING || k->state == ENDING)
		on_connected(l, k);
}

void link_give(struct links *l, struct link *k, int64_t time)
{
	bool counts = plan_counts(l->plan, time);

	counter_add(&l->tally.messages_due, counts);
	l->left -= counts;
	if (k->state == OVER) {
		counter_add(&l->tally.unsent, counts);
		return;
	}
	k->due++;
	if (k->state == TALKING)
		advance(l, k);
	else if (k->state == NEW)
		renew(l, k);
}

/* It owes an answer, and is waited for no longer. */
static bool is_stuck(const struct links *l, const struct link *k)
{
	const struct options *o = options_of(l);
	int64_t since = stream_silent_since(&k->stream);

	if (l->end && l->end < l->now - GIVE_UP * o->timeout)
		return true;
	if (l->end) /* and each message has had its time */
		return since < l->settled - o->timeout && stream_oldest(&k->stream) == INT64_MAX;
	return !o->duration && since < l->settled - GIVE_UP * o->timeout;
}

static void expire_talking(struct links *l, struct link *k)
{
	const struct options *o = options_of(l);

	if (o->reconnect && stream_silent_since(&k->stream) < l->settled - o->timeout) {
		break_off(l, k, NULL, ETIMEDOUT);
		return;
	}
	stream_expire(&k->stream, l->settled - o->timeout, &l->tally);
	if (is_stuck(l, k))
		break_off(l, k, NULL, 0);
	else
		advance(l, k);
}

static void expire_connecting(struct links *l, struct link *k)
{
	if (l->end && !has_message(l, k))
		dial_give_up(l, k);
	else if (k->began + options_of(l)->connect_timeout < l->now || dial_is_late(l))
		dial_retry(l, k, ETIMEDOUT);
}

void link_expire(struct links *l, struct link *k)
{
	const struct options *o = options_of(l);

	switch (k->state) {
	case CONNECTING:
		expire_connecting(l, k);
		break;
	case TALKING:
		expire_talking(l, k);
		break;
	case ENDING:
		if (k->began + o->timeout < l->now)
			end_link(l, k);
		break;
	case AWAY:
		if (l->end)
			dial_over(l, k);
		else if (k->began <= l->now && l->n_connecting < l->window)
			dial_connect(l, k);
		break;
	case NEW:
		if (l->phase != PHASE_CONNECT && (l->phase >= PHASE_END || l->left == 0))
			dial_over(l, k);
		break;
	default:
		break;
	}
}

void link_abandon(struct links *l, struct link *k)
{
	stream_abandon(&k->stream, &l->tally.in_flight, &l->tally.unsent);
	if (k->state == CONNECTING)
		counter_increment(&l->tally.connect_failures);
	if (k->state != OVER)
		dial_forget(l, k);
}
