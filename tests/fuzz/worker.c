/*
 * A worker without its thread: rounds with events, turns and times that the
 * input chooses, as run() has them.  src/worker.c is included, so that its
 * inner functions can be called and what it calls be replaced.
 *
 * After each round every connection is in just one list, the right one; the
 * lists are in the order of time; who is not through is on the ready queue, once;
 * nobody is served twice in a round, or after its end; nobody who is overdue
 * stays, and nobody else is ended for that.  In the end all are closed once.
 */
#include "worker.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "fuzz.h"
#include "log.h"
#include "probe.h"

#define RECORDS 12

static struct {
	bool open, watched, served, shut;
	bool turned; /* it has had a turn, which ended so: */
	int result;
} sockets[RECORDS];

static struct tape tape;
static unsigned n_open;
static bool ending; /* everyone has something to say */

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
	c->echoed += choice & 8 ? choice : 0;
	echo->received = echo->received + choice;
	return end_turn(fd, results[choice % 8]);
}

static int fuzz_discard(int fd, struct echo *echo)
{
	static const int results[] = { TURN_END, TURN_IDLE, TURN_MORE, -EPIPE };

	(void)echo;
	fuzz_check(sockets[fd].shut);
	return end_turn(fd, results[tape_next(&tape) % 4]);
}

static uint32_t fuzz_unacknowledged(int fd)
{
	fuzz_check(is_socket(fd));
	return tape_next(&tape) % 4;
}

static void fuzz_reset(int fd)
{
	fuzz_check(is_socket(fd));
}

static int fuzz_shutdown(int fd, int how)
{
	fuzz_check(is_socket(fd) && how == SHUT_WR && !sockets[fd].shut);
	sockets[fd].shut = true;
	return 0;
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
#define connection_discard fuzz_discard
#define connection_unacknowledged fuzz_unacknowledged
#define connection_reset_on_close fuzz_reset
#define poller_add fuzz_watch
#define shutdown fuzz_shutdown
#define close fuzz_close
#include "../../src/worker.c"
#undef close

static struct worker w;
static struct table table;
static struct limiter limiter;

/* A record is empty before its descriptor can come again. */
static int fuzz_close(int fd)
{
	const struct connection *c = table_at(&table, (uint32_t)fd);

	fuzz_check(is_socket(fd));
	fuzz_check(c->owner == 0 && !c->adopted && !c->ready && !c->stalled && !c->finished);
	fuzz_check(!c->pending && !c->source && c->age.prev == 0 && c->age.next == 0);
	memset(&sockets[fd], 0, sizeof(sockets[fd]));
	n_open--;
	return 0;
}

/* A new connection comes, from the acceptor or from a predecessor. */
static void open_socket(int fd, bool resumed)
{
	struct connection *c = table_at(&table, (uint32_t)fd);

	sockets[fd].open = true;
	limiter.open++;
	n_open++;
	if (resumed) {
		c->stalled = tape_next(&tape) % 2;
		c->since = w.now;
		worker_resume(&w, fd);
	} else if (worker_adopt(&w, fd) < 0) {
		sockets[fd].open = false;
		limiter.open--;
		n_open--;
	}
}

static void check_list(const struct list *list, bool stalled, unsigned *seen)
{
	int64_t since = INT64_MIN;
	uint32_t before = 0;

	for (uint32_t i = list->head; i; i = at(&w, i)->age.next) {
		const struct connection *c = at(&w, i);

		fuzz_check(is_socket((int)i) && c->adopted && c->owner == 1);
		fuzz_check(c->stalled == stalled && c->since >= since && c->age.prev == before);
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

	for (uint32_t i = w.ready.head; i; i = at(&w, i)->next_ready) {
		fuzz_check(is_socket((int)i) && !(queued & 1u << i));
		queued |= 1u << i;
	}
	for (uint32_t i = 1; i < RECORDS; i++)
		fuzz_check(at(&w, i)->ready == !!(queued & 1u << i));
}

/* A record says how the last turn has ended; who is told to end has had one. */
static void check_turns(void)
{
	for (uint32_t i = 1; i < RECORDS; i++) {
		const struct connection *c = at(&w, i);

		if (sockets[i].turned) {
			fuzz_check(c->stalled == (sockets[i].result == TURN_STALLED));
			fuzz_check(c->ready || sockets[i].result != TURN_MORE);
		}
		fuzz_check(!c->adopted || w.obeyed != DRAIN || c->finished || c->ready ||
			   c->stalled);
	}
}

static void check(void)
{
	bool timed = (w.idle.head && w.idle_ms) || (w.stalled.head && w.stall_ms);
	int wait = patience(&w);
	unsigned seen = 0;

	check_list(&w.idle, false, &seen);
	check_list(&w.stalled, true, &seen);
	check_queue();
	check_turns();
	for (uint32_t i = 1; i < RECORDS; i++)
		fuzz_check(at(&w, i)->adopted == !!(seen & 1u << i));
	fuzz_check(worker_open(&w) == n_open && (unsigned)limiter.open == n_open);
	fuzz_check(w.ready.head ? wait == 0 : timed == (wait >= 0));
}

/* Nobody whom this round has seen overdue, and not ready, is there any more. */
static void check_expired(int64_t asof)
{
	for (uint32_t i = 1; i < RECORDS; i++) {
		const struct connection *c = at(&w, i);
		int64_t timeout = c->stalled ? w.stall_ms : w.idle_ms;

		/* A list ends its oldest first, and one that is ready holds the others up. */
		if (!c->adopted || c->ready || !timeout || at(&w, list_of(&w, c)->head)->ready)
			continue;
		fuzz_check(c->since + timeout > asof);
	}
}

/* Events for those that the input names; a socket's first one comes by itself. */
static int gather(struct epoll_event *events)
{
	unsigned who = tape_next(&tape) | tape_next(&tape) << 8;
	int n = 0;

	for (int fd = 1; fd < RECORDS; fd++) {
		bool first = sockets[fd].open && !at(&w, (uint32_t)fd)->adopted;

		sockets[fd].served = false;
		if (!sockets[fd].open || !(first || ending || who & 1u << fd))
			continue;
		events[n].events =
			(tape_next(&tape) + (unsigned)fd) % 2 ? EPOLLOUT : EPOLLIN | EPOLLOUT;
		events[n++].data.fd = fd;
	}
	return n;
}

/* As in run(). */
static void pass_round(void)
{
	struct epoll_event events[RECORDS];
	int n = gather(events);
	int64_t before = w.now;

	w.now += tape_next(&tape);
	collect(&w, events, n);
	obey(&w);
	serve_ready(&w);
	expire(&w, before);
	check_expired(before);
}

static void step(void)
{
	unsigned what = tape_next(&tape);
	int fd = 1 + (int)(what / 8 % (RECORDS - 1));

	switch (what % 8) {
	case 0:
	case 1:
		if (!sockets[fd].open && w.order == SERVE)
			open_socket(fd, false);
		break;
	case 2:
		w.idle_ms = tape_next(&tape);
		w.stall_ms = tape_next(&tape);
		break;
	case 3:
		if (what >= 0xf8)
			w.order = w.order == SERVE ? DRAIN : ABORT;
		break;
	default:
		pass_round();
	}
	check();
}

static void begin(const uint8_t *data, size_t size)
{
	tape = (struct tape){ data, data + size };
	if (!table.records && table_init(&table, RECORDS) < 0)
		abort();
	memset(table.records, 0, RECORDS * sizeof(*table.records));
	memset(sockets, 0, sizeof(sockets));
	memset(&w, 0, sizeof(w));
	memset(&limiter, 0, sizeof(limiter));
	n_open = 0;
	ending = false;
	w.config.table = &table;
	w.config.limiter = &limiter;
	w.poller.wake_fd = -1;
	for (unsigned n = tape_next(&tape) % 6; n > 0; n--) {
		w.now += tape_next(&tape);
		open_socket((int)n, true);
	}
	watch_all(&w, &w.idle);
	watch_all(&w, &w.stalled);
	check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	begin(data, size);
	while (tape.at < tape.end)
		step();
	w.order = w.order == SERVE ? DRAIN : w.order;
	ending = true;
	for (int rounds = 0; !is_done(&w); rounds++) {
		fuzz_check(rounds < 3 * RECORDS);
		pass_round();
		check();
	}
	fuzz_check(n_open == 0 && counter_get(&w.closed_total) == counter_get(&w.accepted));
	return 0;
}
