/* SPDX-License-Identifier: MIT */
/*
 * A worker without its thread: rounds with events, turns and times that the
 * input chooses.  src/reactor/connections.c and src/reactor/worker.c are included, so that their
 * inner functions can be called and what they call be replaced.
 *
 * Events wait in a list as epoll(7) has it, first in, first out, each socket
 * once; a batch takes a few of them.
 *
 * After each round every connection is in just one list, the right one; the
 * lists are in the order of time; one that is not through is on the ready queue, once;
 * none is served twice in a round, or after its end; none that is overdue stays for
 * long, and none is ended for that with an event that was not collected; one that is
 * closed in order has nothing unacknowledged.  In the end all
 * are closed once.
 */
#include "reactor/worker.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/probe.h"
#include "fuzz.h"

#define RECORDS 12
#define BATCH 3

const unsigned fuzz_random_inputs = 3000;

static struct {
	bool open, watched, served, shut, reset;
	bool turned; /* it has had a turn, which ended so: */
	int result;
	uint32_t unacknowledged;
	bool broken;	 /* and it stays so */
	uint32_t events; /* that wait in the ready list; 0: it is not there */
	int64_t ready;	 /* since when */
} sockets[RECORDS];

static int ready[RECORDS]; /* in the order in which epoll reports them */
static int n_ready;

static struct tape tape;
static unsigned n_open;
static bool ending; /* all have something to say */
static int64_t now;

static int64_t fuzz_clock(void)
{
	return now;
}

static bool is_socket(int fd)
{
	return fd > 0 && fd < RECORDS && sockets[fd].open;
}

static int end_turn(int fd, int result)
{
	fuzz_check(is_socket(fd) && !sockets[fd].served);
	sockets[fd].served = sockets[fd].turned = true;
	sockets[fd].result = result;
	return result;
}

static int fuzz_turn(struct connection *c, int fd, struct echo *echo)
{
	static const int results[] = { TURN_IDLE, TURN_STALLED, TURN_MORE,   TURN_END,
				       TURN_IDLE, TURN_STALLED, -ECONNRESET, TURN_MORE };
	unsigned choice = tape_next(&tape);

	fuzz_check(c->adopted && !c->finished && !c->ready);
	if (choice & 8) {
		c->echoed += choice;
		sockets[fd].unacknowledged += choice;
	}
	counter_add(&echo->received, choice);
	return end_turn(fd, results[choice % 8]);
}

static int fuzz_finish(struct connection *c, int fd)
{
	fuzz_check(is_socket(fd) && !c->finished && !sockets[fd].shut);
	c->finished = sockets[fd].shut = true;
	return sockets[fd].broken ? -ENOTCONN : 0;
}

/* After our FIN it throws away; before, it echoes what is owed, or sends what is pending. */
static int fuzz_last_turn(struct connection *c, int fd, struct echo *echo)
{
	static const int discards[] = { TURN_END, TURN_IDLE, TURN_MORE, -EPIPE };
	static const int flushes[] = { TURN_IDLE, TURN_STALLED, -EPIPE };
	int r = TURN_IDLE;

	if (c->finished) {
		fuzz_check(sockets[fd].shut);
		return end_turn(fd, discards[tape_next(&tape) % 4]);
	}
	if (c->owed > 0) {
		r = fuzz_turn(c, fd, echo);
		c->owed -= tape_next(&tape) % (c->owed + 1);
	} else {
		r = end_turn(fd, c->stalled ? flushes[tape_next(&tape) % 3] : TURN_IDLE);
	}
	if (r != TURN_IDLE)
		return r;
	(void)fuzz_finish(c, fd);
	sockets[fd].result = TURN_MORE;
	return TURN_MORE;
}

/* The client's kernel takes some. */
static void acknowledge(int fd, uint32_t n)
{
	uint32_t *left = &sockets[fd].unacknowledged;

	if (!sockets[fd].broken)
		*left -= n < *left ? n : *left;
}

static uint32_t fuzz_unacknowledged(int fd)
{
	fuzz_check(is_socket(fd));
	acknowledge(fd, ending ? UINT32_MAX : tape_next(&tape) % 4 * 100);
	return sockets[fd].unacknowledged;
}

static uint32_t fuzz_arrived(int fd)
{
	fuzz_check(is_socket(fd));
	return tape_next(&tape) % 3 * 10;
}

static void fuzz_reset(int fd, bool reset)
{
	fuzz_check(is_socket(fd));
	sockets[fd].reset = reset;
}

static int fuzz_part(struct connection *c, int fd)
{
	int r = 0;

	if (fuzz_unacknowledged(fd) == 0)
		return TURN_END;
	if (!c->finished)
		r = fuzz_finish(c, fd);
	return r < 0 ? r : TURN_STALLED;
}

static int fuzz_watch(const struct poller *p, int fd, uint32_t events)
{
	(void)p;
	(void)events;
	fuzz_check(is_socket(fd) && !sockets[fd].watched);
	if (tape_next(&tape) % 16 == 15)
		return -ENOSPC;
	sockets[fd].watched = true;
	return 0;
}

static int fuzz_close(int fd);

#define connection_turn fuzz_turn
#define connection_last_turn fuzz_last_turn
#define tcp_unacknowledged fuzz_unacknowledged
#define tcp_arrived fuzz_arrived
#define tcp_reset_on_close fuzz_reset
#define connection_part fuzz_part
#define clock_ms fuzz_clock
#define poller_add fuzz_watch
#define close fuzz_close
#include "../../src/reactor/connections.c"
#include "../../src/reactor/worker.c"
#undef close

static struct worker w;
static struct shared shared;

static struct connection *record(uint32_t index)
{
	return connections_at(&shared.connections, index);
}

/* epoll reports a socket once, however much has happened there. */
static void happen(int fd, uint32_t events)
{
	if (sockets[fd].events == 0) {
		ready[n_ready++] = fd;
		sockets[fd].ready = now;
	}
	sockets[fd].events |= events;
}

static void forget(int fd)
{
	int n = 0;

	for (int i = 0; i < n_ready; i++)
		if (ready[i] != fd)
			ready[n++] = ready[i];
	n_ready = n;
}

/* A record is empty before its descriptor can come again. */
static int fuzz_close(int fd)
{
	const struct connection *c = record((uint32_t)fd);

	fuzz_check(is_socket(fd));
	fuzz_check(c->owner == 0 && !c->adopted && !c->ready && !c->stalled && !c->finished);
	fuzz_check(!c->pending && !c->source && c->older == 0 && c->younger == 0);
	fuzz_check(!c->parting && c->owed == 0);
	fuzz_check(sockets[fd].reset || sockets[fd].unacknowledged == 0 || w.loop.command == ABORT);
	forget(fd);
	memset(&sockets[fd], 0, sizeof(sockets[fd]));
	n_open--;
	return 0;
}

/* A new connection comes, from the acceptor or from a predecessor. */
static void open_socket(int fd, bool resumed)
{
	struct connection *c = record((uint32_t)fd);

	sockets[fd].open = true;
	shared.limiter.open++;
	n_open++;
	if (resumed) {
		c->stalled = tape_next(&tape) % 2;
		c->since = now;
		worker_resume(&w, fd);
	} else if (worker_adopt(&w, fd) < 0) {
		sockets[fd].open = false;
		shared.limiter.open--;
		n_open--;
	}
}

static void check_list(const struct list *list, bool stalled, unsigned *seen)
{
	int64_t since = INT64_MIN;
	uint32_t before = 0;

	for (uint32_t i = list->head; i; i = record(i)->younger) {
		const struct connection *c = record(i);

		fuzz_check(is_socket((int)i) && c->adopted && c->owner == 1);
		fuzz_check(c->stalled == stalled && c->since >= since && c->older == before);
		fuzz_check(!(*seen & 1u << i));
		*seen |= 1u << i;
		since = c->since;
		before = i;
	}
	fuzz_check(list->tail == before);
}

static void check_queue(void)
{
	unsigned queued = 0;

	for (uint32_t i = w.members.ready.head; i; i = record(i)->next_ready) {
		fuzz_check(is_socket((int)i) && !(queued & 1u << i));
		queued |= 1u << i;
	}
	for (uint32_t i = 1; i < RECORDS; i++)
		fuzz_check(record(i)->ready == !!(queued & 1u << i));
}

/* A record says how the last turn has ended; one that is told to end has had one. */
static void check_turns(void)
{
	for (uint32_t i = 1; i < RECORDS; i++) {
		const struct connection *c = record(i);

		if (sockets[i].turned && !c->parting) {
			fuzz_check(c->stalled == (sockets[i].result == TURN_STALLED));
			fuzz_check(c->ready || sockets[i].result != TURN_MORE);
		}
		fuzz_check(!c->parting || (c->stalled && c->finished));
		fuzz_check(!c->adopted || w.obeyed != DRAIN || c->finished || c->ready ||
			   c->stalled);
	}
}

static void check(void)
{
	const struct members *t = &w.members;
	bool timed = (t->idle.head && shared.idle_ms) || (t->stalled.head && shared.stall_ms);
	int wait = connections_wait(t, shared.idle_ms, shared.stall_ms);
	unsigned seen = 0;

	check_list(&t->idle, false, &seen);
	check_list(&t->stalled, true, &seen);
	check_queue();
	check_turns();
	for (uint32_t i = 1; i < RECORDS; i++)
		fuzz_check(record(i)->adopted == !!(seen & 1u << i));
	fuzz_check(worker_open(&w) == n_open && (unsigned)shared.limiter.open == n_open);
	fuzz_check(w.members.ready.head ? wait == 0 : timed == (wait >= 0));
}

/* None that this round has seen overdue, and not ready, is there any more. */
static void check_expired(void)
{
	struct members *t = &w.members;

	for (uint32_t i = 1; i < RECORDS; i++) {
		const struct connection *c = record(i);
		int64_t timeout = c->stalled ? shared.stall_ms : shared.idle_ms;

		/* A list ends its oldest first, and one that is ready holds the others up. */
		if (!c->adopted || c->ready || !timeout || record(list_of(t, c)->head)->ready)
			continue;
		fuzz_check(c->since + timeout > t->settled);
	}
}

/* Whatever was ready at the time that is settled has been collected. */
static void check_settled(void)
{
	for (int i = 0; i < n_ready; i++)
		fuzz_check(sockets[ready[i]].ready >= w.members.settled);
}

/* Events for those that the input names; a socket's first one comes by itself. */
static void live(void)
{
	unsigned which = tape_next(&tape) | tape_next(&tape) << 8;

	for (int fd = 1; fd < RECORDS; fd++) {
		bool first = sockets[fd].open && !record((uint32_t)fd)->adopted;
		unsigned how;

		sockets[fd].served = false;
		if (!sockets[fd].open || !(first || ending || which & 1u << fd))
			continue;
		how = tape_next(&tape) + (unsigned)fd;
		if (how % 16 == 15)
			sockets[fd].broken = true;
		happen(fd, first || how % 2 ? EPOLLOUT : EPOLLIN);
		if (how % 3 == 0 || ending)
			happen(fd, EPOLLIN | EPOLLOUT);
		if (sockets[fd].broken)
			happen(fd, EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP);
	}
}

static int gather(struct epoll_event *events)
{
	int n = n_ready < BATCH ? n_ready : BATCH;

	for (int i = 0; i < n; i++) {
		events[i].events = sockets[ready[i]].events;
		events[i].data.fd = ready[i];
		sockets[ready[i]].events = 0;
	}
	memmove(ready, ready + n, (size_t)(n_ready - n) * sizeof(*ready));
	n_ready -= n;
	return n;
}

static void one_round(void)
{
	struct epoll_event events[BATCH];
	int n;

	live();
	n = gather(events);
	now += tape_next(&tape);
	pass_round(&w, events, n);
	check_settled();
	check_expired();
}

static void step(void)
{
	unsigned what = tape_next(&tape);
	int fd = 1 + (int)(what / 8 % (RECORDS - 1));

	switch (what % 8) {
	case 0:
	case 1:
		if (!sockets[fd].open && w.loop.command == RUN)
			open_socket(fd, false);
		break;
	case 2:
		shared.idle_ms = tape_next(&tape);
		shared.stall_ms = tape_next(&tape);
		break;
	case 3:
		if (what >= 0xf8)
			w.loop.command = w.loop.command == RUN ? DRAIN : ABORT;
		break;
	default:
		one_round();
	}
	check();
}

static void begin(const uint8_t *data, size_t size)
{
	tape = (struct tape){ data, data + size };
	if (!shared.connections.records && connections_init(&shared.connections, RECORDS) < 0)
		abort();
	memset(shared.connections.records, 0, RECORDS * sizeof(*shared.connections.records));
	memset(sockets, 0, sizeof(sockets));
	memset(&w, 0, sizeof(w));
	memset(&shared.limiter, 0, sizeof(shared.limiter));
	n_open = 0;
	n_ready = 0;
	now = 0;
	ending = false;
	w.shared = &shared;
	w.members.all = &shared.connections;
	w.loop.poller.wake_fd = -1;
	for (unsigned n = tape_next(&tape) % 6; n > 0; n--) {
		now += tape_next(&tape);
		open_socket((int)n, true);
	}
	w.members.now = clock_ms();
	watch_all(&w, &w.members.idle);
	watch_all(&w, &w.members.stalled);
	check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	begin(data, size);
	while (tape.at < tape.end)
		step();
	w.loop.command = w.loop.command == RUN ? DRAIN : w.loop.command;
	ending = true;
	for (int rounds = 0; !is_done(&w); rounds++) {
		fuzz_check(rounds < 10 * RECORDS);
		one_round();
		check();
	}
	fuzz_check(n_open == 0 && worker_open(&w) == 0);
	return 0;
}
