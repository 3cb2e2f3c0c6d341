/* SPDX-License-Identifier: MIT */
/*
 * The echo of one socket, over real sockets: the socketpair(2) delivers within the
 * system call, so that each step can be foretold, and TCP on the loopback shows what
 * only TCP has: windows, resets, urgent bytes.
 *
 * What the kernel could do at any place but seldom does is the script of
 * fuzz/connection.c.
 */
#include "echo/connection.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/tcp.h"
#include "helper.h"

#define PLENTY (SIZE_MAX / 2)

static unsigned char buffer[65536];
static struct echo echo;
static struct connection c;

static void begin(void)
{
	echo = (struct echo){ .buffer = buffer, .size = 4096, .budget = PLENTY };
}

TestSuite(connection, .init = begin, .timeout = HELPER_TIMEOUT);

/* The byte at this place of a stream: no period that a mistake could hit. */
static unsigned char byte_at(uint64_t position)
{
	uint64_t x = (position + 1) * UINT64_C(0x9e3779b97f4a7c15);

	return (unsigned char)(x >> 56 ^ x >> 29);
}

static void fill(unsigned char *data, size_t size, size_t position)
{
	for (size_t i = 0; i < size; i++)
		data[i] = byte_at(position + i);
}

/* Data is what belongs to this place; a receive that failed is none. */
static void check_bytes(const unsigned char *data, ssize_t size, size_t position)
{
	for (ssize_t i = 0; i < size; i++)
		cr_assert_eq(data[i], byte_at(position + (size_t)i));
}

static struct helper_random chance = { 1 };

static bool one_in(uint32_t n)
{
	return helper_random(&chance, n) == 0;
}

static size_t some_of(size_t n)
{
	return 1 + helper_random(&chance, (uint32_t)n);
}

static size_t less(size_t a, size_t b)
{
	return a < b ? a : b;
}

void *__real_malloc(size_t size);
ssize_t __real_read(int fd, void *data, size_t size);
ssize_t __wrap_read(int fd, void *data, size_t size);
void *__wrap_malloc(size_t size);

static int mallocs_to_failure; /* 0: none fails */

void *__wrap_malloc(size_t size)
{
	if (mallocs_to_failure > 0 && --mallocs_to_failure == 0) {
		errno = ENOMEM;
		return NULL;
	}
	return __real_malloc(size);
}

static int reads_to_failure; /* 0: none fails */

ssize_t __wrap_read(int fd, void *data, size_t size)
{
	if (reads_to_failure > 0 && --reads_to_failure == 0) {
		errno = EIO;
		return -1;
	}
	return __real_read(fd, data, size);
}

/* Both ends of a connection; the server's does not block. */
struct pair {
	int client, server;
};

static void set(int fd, int level, int name, int value)
{
	cr_assert_eq(setsockopt(fd, level, name, &value, sizeof(value)), 0);
}

/* Buffers of about this size, or 0 for the kernel's own. */
static void set_buffers(int fd, int size)
{
	if (size == 0)
		return;
	set(fd, SOL_SOCKET, SO_SNDBUF, size);
	set(fd, SOL_SOCKET, SO_RCVBUF, size);
}

static struct pair unix_pair(int size)
{
	struct pair p;
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	p = (struct pair){ .client = fds[0], .server = fds[1] };
	set_buffers(p.client, size);
	set_buffers(p.server, size);
	return p;
}

static struct pair tcp_pair(int size)
{
	struct address address = helper_address("127.0.0.1:0");
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct pair p = { .client = socket(AF_INET, SOCK_STREAM, 0) };

	set_buffers(listener, size);
	set_buffers(p.client, size);
	set(listener, SOL_SOCKET, SO_OOBINLINE, 1);
	set(p.client, IPPROTO_TCP, TCP_NODELAY, 1);
	cr_assert_eq(bind(listener, &address.any, address.size), 0);
	cr_assert_eq(listen(listener, 1), 0);
	cr_assert_eq(getsockname(listener, &address.any, &address.size), 0);
	cr_assert_eq(connect(p.client, &address.any, address.size), 0);
	p.server = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	cr_assert_geq(p.server, 0);
	set(p.server, IPPROTO_TCP, TCP_NODELAY, 1);
	close(listener);
	return p;
}

static void pair_close(struct pair p)
{
	connection_forget(&c, &echo);
	close(p.client);
	close(p.server);
}

/* The client resets the connection, and the server has noticed. */
static void pair_reset(struct pair p)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	cr_assert_eq(setsockopt(p.client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	close(p.client);
	helper_wait(p.server, 0);
}

static int turn(struct pair p)
{
	return connection_turn(&c, p.server, &echo);
}

static void say(struct pair p, const char *text)
{
	cr_assert_eq(send(p.client, text, strlen(text), 0), (ssize_t)strlen(text));
}

/* The client has received exactly this, and nothing more. */
static void check_heard(struct pair p, const char *text)
{
	char heard[64];
	size_t size = strlen(text), got = 0;

	while (got < size) {
		ssize_t n;

		helper_wait(p.client, POLLIN);
		n = recv(p.client, heard + got, size - got, 0);
		cr_assert_gt(n, 0);
		got += (size_t)n;
	}
	cr_assert_eq(memcmp(heard, text, size), 0, "%.*s", (int)size, heard);
	cr_assert_lt(recv(p.client, heard, 1, MSG_DONTWAIT), 1);
}

/* Talks without listening until the echo is stalled.  Returns how much was said. */
static size_t stall(struct pair p)
{
	static unsigned char data[5000];
	size_t said = 0;

	while (turn(p) != TURN_STALLED) {
		ssize_t n;

		fill(data, sizeof(data), said);
		n = send(p.client, data, sizeof(data), MSG_DONTWAIT);
		said += n > 0 ? (size_t)n : 0;
	}
	return said;
}

/* Listens, while the server has its turns, until so much has come back. */
static void hear(struct pair p, size_t size)
{
	static unsigned char data[4096];
	size_t got = 0;

	while (got < size) {
		ssize_t n = recv(p.client, data, less(sizeof(data), size - got), MSG_DONTWAIT);

		cr_assert_geq(turn(p), 0);
		if (n < 0) /* TCP may take its time */
			continue;
		check_bytes(data, n, got);
		got += (size_t)n;
	}
}

/* Streams through the pipe, until size bytes have come back and were right. */
static void stream(struct pair p, size_t size)
{
	static unsigned char data[1 << 18];
	size_t said = 0, got = 0, piped = 0;

	while (got < size) {
		ssize_t n;

		fill(data, sizeof(data), said);
		n = send(p.client, data, less(sizeof(data), size - said), MSG_DONTWAIT);
		said += n > 0 ? (size_t)n : 0;
		cr_assert_geq(turn(p), 0);
		piped += c.streams;
		cr_assert_leq(echo.held, echo.budget);
		if (said < size && one_in(2))
			continue;
		n = recv(p.client, data, sizeof(data), MSG_DONTWAIT);
		check_bytes(data, n, got);
		got += n > 0 ? (size_t)n : 0;
	}
	cr_assert_gt(piped, 0, "no turn was one of a stream");
	cr_assert_eq(c.echoed, size);
	cr_assert_eq(echo.received, size);
	cr_assert_eq(echo.held, 0);
}

/* With a pipe nothing is left in it between two turns. */
static void check_empty_pipe(void)
{
	char byte;

	cr_assert_lt(read(echo.pipe.out, &byte, 1), 0);
	cr_assert_eq(errno, EAGAIN);
}

static struct pair begin_stream(void)
{
	signal(SIGPIPE, SIG_IGN);
	echo.size = sizeof(buffer);
	pipe_init(&echo.pipe);
	cr_assert_gt(echo.pipe.room, 0);
	return tcp_pair(0);
}

static void end_stream(struct pair p)
{
	pair_close(p);
	pipe_deinit(&echo.pipe);
}

/* A stream goes through the pipe, also when its client reads slowly, and comes back whole. */
TEST(connection, stream)
{
	struct pair p = begin_stream();

	stream(p, 50 << 20);
	check_empty_pipe();
	end_stream(p);
}

/* Without a budget for what the pipe may have to give up, a stream is copied. */
TEST(connection, stream_without_budget)
{
	struct pair p = begin_stream();

	echo.budget = echo.pipe.room - 1;
	stream(p, 10 << 20);
	c.echoed = echo.received = 0;
	echo.budget = echo.size;
	stream(p, 50 << 20);
	end_stream(p);
}

/* What is in the pipe when its connection breaks reaches nobody else. */
TEST(connection, stream_broken)
{
	struct pair p = begin_stream();
	struct pair other = unix_pair(0);
	struct connection broken;
	int r;

	stream(p, 4 << 20);
	stall(p);
	hear(p, 1);
	shutdown(p.server, SHUT_WR); /* so that the next send fails, and what comes is received */
	connection_forget(&c, &echo);
	c.streams = true;
	r = turn(p);
	cr_assert(r == -EPIPE || r == TURN_IDLE, "%d", r);
	check_empty_pipe();
	cr_assert_eq(echo.held, 0);
	broken = c;
	c = (struct connection){ .streams = true };
	say(other, "mine");
	cr_assert_eq(turn(other), TURN_IDLE);
	check_heard(other, "mine");
	c = broken;
	pair_close(other);
	end_stream(p);
}

/* Streams until the socket takes no more, and a call that is needed then fails. */
static void check_stall_that_fails(int *calls_to_failure, int error)
{
	struct pair p = begin_stream();
	int r;

	stream(p, 4 << 20);
	*calls_to_failure = 1;
	do {
		static const unsigned char data[1 << 16];

		(void)send(p.client, data, sizeof(data), MSG_DONTWAIT);
		r = turn(p);
	} while (r >= 0);
	cr_assert_eq(r, -error);
	connection_forget(&c, &echo);
	cr_assert_eq(echo.held, 0);
	if (echo.pipe.room > 0)
		check_empty_pipe();
	end_stream(p);
}

/* The pipe gives back nothing of what the socket does not take, and is closed. */
TEST(connection, stream_without_pipe)
{
	check_stall_that_fails(&reads_to_failure, EIO);
	cr_assert_eq(echo.pipe.room, 0);
}

/* There is no memory for what the socket does not take. */
TEST(connection, stream_without_memory)
{
	check_stall_that_fails(&mallocs_to_failure, ENOMEM);
}

/* An urgent mark in a stream stops the pipe, not the echo. */
TEST(connection, stream_with_urgent_byte)
{
	struct pair p = begin_stream();
	size_t size = 4 << 20;

	stream(p, size);
	c.streams = true;
	cr_assert_eq(send(p.client, "ab!cd", 3, MSG_OOB), 3);
	say(p, "cd");
	while (c.echoed < size + 5)
		cr_assert_geq(turn(p), 0);
	check_heard(p, "ab!cd");
	end_stream(p);
}

/* All is echoed in one turn, which ends idle. */
TEST(connection, idle)
{
	struct pair p = unix_pair(0);

	cr_assert_eq(turn(p), TURN_IDLE);
	say(p, "hello");
	cr_assert_eq(turn(p), TURN_IDLE);
	check_heard(p, "hello");
	cr_assert_eq(c.echoed, 5);
	cr_assert_eq(echo.received, 5);
	cr_assert_eq(echo.held, 0);
	say(p, " again");
	cr_assert_eq(turn(p), TURN_IDLE);
	check_heard(p, " again");
	cr_assert_eq(c.echoed, 11);
	pair_close(p);
}

/* A FIN ends the connection, after the echo of all that came before it. */
TEST(connection, end)
{
	struct pair p = unix_pair(0);

	say(p, "bye");
	cr_assert_eq(shutdown(p.client, SHUT_WR), 0);
	cr_assert_eq(turn(p), TURN_END);
	check_heard(p, "bye");
	pair_close(p);
	p = unix_pair(0);
	shutdown(p.client, SHUT_WR);
	cr_assert_eq(turn(p), TURN_END);
	pair_close(p);
}

/* A turn is bounded: who has more to say than that comes back for it. */
TEST(connection, more)
{
	struct pair p = unix_pair(0);
	int turns = 1;
	char text[1001];

	memset(text, 'x', 1000);
	text[1000] = '\0';
	echo.size = 16;
	say(p, text);
	cr_assert_eq(turn(p), TURN_MORE);
	cr_assert_gt(c.echoed, 0);
	cr_assert_lt(c.echoed, 500);
	while (turn(p) == TURN_MORE)
		turns++;
	cr_assert_gt(turns, 2);
	cr_assert_eq(c.echoed, 1000);
	cr_assert_eq(turn(p), TURN_IDLE);
	pair_close(p);
}

/*
 * Who does not take its echo is stalled: the rest is kept and counted, and when
 * the client reads again everything comes, in order.
 */
static void check_stall(struct pair p)
{
	size_t said = stall(p);

	cr_assert_not_null(c.pending);
	cr_assert_eq(echo.held, c.pending->size);
	cr_assert_leq(echo.held, echo.size);
	cr_assert_eq(c.echoed + c.pending->size - c.pending->sent, echo.received);
	hear(p, said);
	cr_assert_eq(turn(p), TURN_IDLE);
	cr_assert_eq(c.echoed, said);
	cr_assert_eq(echo.received, said);
	cr_assert_eq(echo.held, 0);
	cr_assert_null(c.pending);
	pair_close(p);
}

TEST(connection, stalled)
{
	check_stall(unix_pair(4096));
	c.echoed = echo.received = 0;
	check_stall(tcp_pair(4096));
}

/* Who is stalled is not read from, as often as he may come. */
TEST(connection, stalled_does_not_read)
{
	struct pair p = unix_pair(4096);
	uint64_t received;
	size_t kept;

	stall(p);
	received = echo.received;
	kept = echo.held;
	for (int i = 0; i < 10; i++)
		cr_assert_eq(turn(p), TURN_STALLED);
	cr_assert_eq(echo.received, received);
	cr_assert_eq(echo.held, kept);
	pair_close(p);
}

/* With no budget the same holds, but the rest waits in the kernel. */
TEST(connection, stalled_without_budget)
{
	struct pair p = tcp_pair(4096);
	size_t said;

	echo.budget = 0;
	said = stall(p);
	cr_assert_null(c.pending);
	cr_assert_eq(echo.held, 0);
	cr_assert_eq(echo.received, c.echoed, "what is not echoed is still in the kernel");
	cr_assert_lt(c.echoed, said);
	hear(p, said);
	cr_assert_eq(turn(p), TURN_IDLE);
	cr_assert_eq(c.echoed, said);
	cr_assert_eq(echo.received, said);
	pair_close(p);
}

/* The budget is for all: who comes when it is used up gets none of it. */
TEST(connection, budget_is_shared)
{
	struct pair first = unix_pair(4096), second = unix_pair(4096);
	struct connection of_first;

	echo.budget = echo.size;
	stall(first);
	cr_assert_gt(echo.held, 0);
	of_first = c;
	c = (struct connection){ .pending = NULL };
	stall(second);
	cr_assert_null(c.pending);
	pair_close(second);
	cr_assert_gt(echo.held, 0);
	c = of_first;
	pair_close(first);
	cr_assert_eq(echo.held, 0);
}

/* To forget gives the budget back, and may be done twice, or with nothing kept. */
TEST(connection, forget)
{
	struct pair p = unix_pair(4096);

	connection_forget(&c, &echo);
	cr_assert_eq(echo.held, 0);
	stall(p);
	cr_assert_gt(echo.held, 0);
	connection_forget(&c, &echo);
	cr_assert_eq(echo.held, 0);
	cr_assert_null(c.pending);
	connection_forget(&c, &echo);
	cr_assert_eq(echo.held, 0);
	pair_close(p);
}

/* Of a connection that is over nothing is left to the next one with its descriptor. */
TEST(connection, clear)
{
	static const struct connection empty;
	struct pair p = unix_pair(4096);

	stall(p);
	c.adopted = c.stalled = c.ready = c.finished = c.streams = true;
	c.source = (struct source *)&echo;
	connection_clear(&c, &echo);
	cr_assert_eq(echo.held, 0);
	cr_assert_null(c.pending);
	cr_assert_null(c.source);
	cr_assert_eq(c.echoed, 0);
	cr_assert_eq(memcmp(&c, &empty, sizeof(c)), 0);
	pair_close(p);
}

/* No memory for the rest breaks this connection only. [F33] */
TEST(connection, no_memory)
{
	struct pair p = unix_pair(4096);
	int r;

	mallocs_to_failure = 1;
	for (r = TURN_IDLE; r >= 0; r = turn(p))
		(void)send(p.client, buffer, 5000, MSG_DONTWAIT);
	cr_assert_eq(r, -ENOMEM);
	cr_assert_null(c.pending);
	cr_assert_eq(echo.held, 0);
	pair_close(p);
}

/* A reset is an error, as a number that close(2)'s log line can name. */
TEST(connection, reset)
{
	struct pair p = tcp_pair(0);

	pair_reset(p);
	cr_assert_eq(turn(p), -ECONNRESET);
	pair_close(p);
}

/* Also while the echo waits, of which nothing is left when it is forgotten. */
TEST(connection, reset_while_stalled)
{
	struct pair p = tcp_pair(4096);
	int r;

	stall(p);
	pair_reset(p);
	r = turn(p);
	cr_assert(r == -ECONNRESET || r == -EPIPE, "%d", r);
	pair_close(p);
	cr_assert_eq(echo.held, 0);
}

/* A client that is gone is an error too, and no SIGPIPE, which would end us all. [F27] */
TEST(connection, no_sigpipe)
{
	struct pair p = unix_pair(0);

	say(p, "hello");
	close(p.client);
	cr_assert_eq(turn(p), -EPIPE);
	pair_close(p);
}

/* Urgent bytes come back in their place, in either mode. */
static void check_urgent(void)
{
	struct pair p = tcp_pair(0);

	c.echoed = 0;
	say(p, "ab");
	cr_assert_eq(send(p.client, "c", 1, MSG_OOB), 1);
	say(p, "de");
	while (c.echoed < 5) {
		helper_wait(p.server, POLLIN);
		cr_assert_geq(turn(p), 0);
	}
	check_heard(p, "abcde");
	pair_close(p);
}

TEST(connection, urgent)
{
	check_urgent();
	echo.budget = 0;
	check_urgent();
}

/* While the worker drains, what is owed is echoed, and our FIN follows. */
TEST(connection, last_turn)
{
	struct pair p = unix_pair(0);

	say(p, "hello");
	c.owed = 5;
	cr_assert_eq(connection_last_turn(&c, p.server, &echo), TURN_MORE);
	cr_assert(c.finished);
	cr_assert_eq(c.owed, 0);
	check_heard(p, "hello");
	say(p, "again");
	cr_assert_eq(connection_last_turn(&c, p.server, &echo), TURN_IDLE);
	check_heard(p, "");
	shutdown(p.client, SHUT_WR);
	cr_assert_eq(connection_last_turn(&c, p.server, &echo), TURN_END);
	pair_close(p);
}

/* Of a finished connection everything is thrown away, until its FIN. */
TEST(connection, discard)
{
	struct pair p = unix_pair(0);

	c.finished = true;
	cr_assert_eq(connection_last_turn(&c, p.server, &echo), TURN_IDLE);
	say(p, "hello");
	cr_assert_eq(connection_last_turn(&c, p.server, &echo), TURN_IDLE);
	cr_assert_eq(turn(p), TURN_IDLE);
	check_heard(p, "");
	shutdown(p.client, SHUT_WR);
	cr_assert_eq(connection_last_turn(&c, p.server, &echo), TURN_END);
	pair_close(p);
	p = tcp_pair(0);
	pair_reset(p);
	cr_assert_eq(connection_last_turn(&c, p.server, &echo), -ECONNRESET);
	pair_close(p);
}

/* That, too, is bounded. */
TEST(connection, discard_is_bounded)
{
	struct pair p = unix_pair(0);
	int turns = 1;

	c.finished = true;
	echo.size = 1;
	say(p, "hello, hello, hello, hello");
	cr_assert_eq(connection_last_turn(&c, p.server, &echo), TURN_MORE);
	while (connection_last_turn(&c, p.server, &echo) == TURN_MORE)
		turns++;
	cr_assert_gt(turns, 2);
	pair_close(p);
}

/* What the client's kernel has not taken is known, and is nothing in the end. */
TEST(connection, unacknowledged)
{
	struct pair p = tcp_pair(4096);
	size_t said;

	cr_assert_eq(tcp_unacknowledged(p.server), 0);
	said = stall(p);
	cr_assert_gt(tcp_unacknowledged(p.server), 0);
	cr_assert_leq(tcp_unacknowledged(p.server), c.echoed);
	hear(p, said);
	while (tcp_unacknowledged(p.server) > 0)
		; /* the last acknowledgement is on its way */
	pair_close(p);
}

/*
 * Megabytes.
 */

/* A client that talks as fast as it can, and listens now and then. */
struct talk {
	struct pair p;
	int epoll;
	size_t total, said, heard;
	int seen[TURN_END + 1]; /* how turns have ended */
};

static void watch(int epoll, int op, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	cr_assert_eq(epoll_ctl(epoll, op, fd, &event), 0);
}

static void talk_say(struct talk *t)
{
	static unsigned char data[30000];
	size_t size = some_of(less(sizeof(data), t->total - t->said));
	ssize_t n;

	fill(data, size, t->said);
	n = send(t->p.client, data, size, MSG_DONTWAIT);
	t->said += n > 0 ? (size_t)n : 0;
	if (t->said < t->total)
		return;
	shutdown(t->p.client, SHUT_WR);
	watch(t->epoll, EPOLL_CTL_MOD, t->p.client, EPOLLIN);
}

/* Returns false at the end. */
static bool talk_hear(struct talk *t)
{
	static unsigned char data[30000];
	ssize_t n = recv(t->p.client, data, some_of(sizeof(data)), MSG_DONTWAIT);

	check_bytes(data, n, t->heard);
	t->heard += n > 0 ? (size_t)n : 0;
	return n != 0;
}

/*
 * Waits as a worker does, edge-triggered and registered once: if a turn ends
 * without having met EAGAIN and without saying so, no one comes back here.
 */
static void talk_on(struct talk *t)
{
	bool ready = false;
	int r = TURN_IDLE;

	while (r != TURN_END) {
		struct epoll_event events[2];
		int n = epoll_wait(t->epoll, events, 2, ready ? 0 : HELPER_TIMEOUT * 1000);

		cr_assert(n > 0 || ready, "after %zu bytes all wait for ever", t->heard);
		for (int i = 0; i < n; i++)
			if (events[i].data.fd == t->p.server)
				ready = true;
			else if ((events[i].events & EPOLLOUT) && t->said < t->total)
				talk_say(t);
			else if (t->said == t->total || one_in(2))
				talk_hear(t);
		if (!ready)
			continue;
		r = turn(t->p);
		cr_assert_geq(r, 0, "%s", strerror(-r));
		cr_assert_leq(echo.held, echo.budget);
		ready = r == TURN_MORE;
		t->seen[r]++;
	}
}

static void talk(struct pair p, size_t total)
{
	struct talk t = { .p = p, .epoll = epoll_create1(0), .total = total };

	c.echoed = echo.received = 0;
	watch(t.epoll, EPOLL_CTL_ADD, p.server, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	watch(t.epoll, EPOLL_CTL_ADD, p.client, EPOLLIN | EPOLLOUT);
	talk_on(&t);
	shutdown(p.server, SHUT_WR);
	while (talk_hear(&t))
		helper_wait(p.client, POLLIN);
	cr_assert_eq(t.heard, total);
	cr_assert_eq(c.echoed, total);
	cr_assert_eq(echo.received, total);
	cr_assert_eq(echo.held, 0);
	cr_assert_gt(t.seen[TURN_STALLED], 10, "there was no back-pressure: %d",
		     t.seen[TURN_STALLED]);
	cr_assert_gt(t.seen[TURN_MORE], 10);
	close(t.epoll);
	pair_close(p);
}

/* Many megabytes come back byte for byte, and no edge is lost, in either mode and between. */
static void check_megabytes(struct pair (*pair)(int size), int size)
{
	const size_t budgets[] = { PLENTY, 0, echo.size };

	for (int i = 0; i < 3; i++) {
		echo.budget = budgets[i];
		chance.state = 1;
		talk(pair(size), (size_t)16 << 20);
	}
}

TEST(connection, megabytes)
{
	check_megabytes(tcp_pair, 0);
}

TEST(connection, megabytes_by_small_buffers)
{
	check_megabytes(tcp_pair, 4096);
}

TEST(connection, megabytes_locally)
{
	check_megabytes(unix_pair, 8192);
}
