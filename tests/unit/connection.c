/* SPDX-License-Identifier: MIT */
/*
 * The echo of one socket, over real sockets: the socketpair(2) delivers within the
 * system call, so that each step can be foretold, and TCP on the loopback shows what
 * only TCP has: windows, resets, urgent bytes.
 *
 * All that the kernel may answer, and streams through the pipe, is the script of
 * fuzz/connection.c.
 */
#include "echo/connection.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
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

static size_t less(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool malloc_fails;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
	if (!malloc_fails)
		return __real_malloc(size);
	malloc_fails = false;
	errno = ENOMEM;
	return NULL;
}

/* Both ends of a connection; the server's does not block. */
struct pair {
	int client, server;
};

static struct pair unix_pair(int size)
{
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	helper_set_buffers(fds[0], size);
	helper_set_buffers(fds[1], size);
	return (struct pair){ .client = fds[0], .server = fds[1] };
}

static struct pair tcp_pair(int size)
{
	struct address address;
	int listener = helper_listen(&address, 1);
	struct pair p;

	helper_set_buffers(listener, size);
	helper_set(listener, SOL_SOCKET, SO_OOBINLINE, 1);
	p.client = helper_connect(listener, size, &p.server);
	helper_set(p.client, IPPROTO_TCP, TCP_NODELAY, 1);
	helper_set(p.server, IPPROTO_TCP, TCP_NODELAY, 1);
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
	helper_reset_on_close(p.client);
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

/* All is echoed in one turn, which ends idle, or after a FIN. */
TEST(connection, idle)
{
	struct pair p = unix_pair(0);

	cr_assert_eq(turn(p), TURN_IDLE);
	for (unsigned i = 1; i <= 2; i++) {
		say(p, "hello");
		cr_assert_eq(turn(p), TURN_IDLE);
		check_heard(p, "hello");
		cr_assert(c.echoed == 5 * i && echo.received == 5 * i && echo.held == 0);
	}
	say(p, "bye");
	cr_assert_eq(shutdown(p.client, SHUT_WR), 0);
	cr_assert_eq(turn(p), TURN_END);
	check_heard(p, "bye");
	cr_assert_eq(turn(p), TURN_END);
	pair_close(p);
}

/*
 * A client that does not take its echo is stalled: the rest is kept and counted, nothing
 * more is received, and when the client reads again everything comes, in order.
 */
static void check_stall(struct pair p, bool keeps)
{
	size_t said, held;
	uint64_t received;

	c.echoed = echo.received = 0;
	said = stall(p);
	held = echo.held;
	received = echo.received;
	cr_assert(keeps ? held > 0 && held <= echo.size && held == c.pending->size :
			  held == 0 && !c.pending);
	cr_assert_eq(c.echoed + (keeps ? held - c.pending->sent : 0), received);
	cr_assert_lt(c.echoed, said);
	for (int i = 0; i < 10; i++)
		cr_assert_eq(turn(p), TURN_STALLED);
	cr_assert(echo.received == received && echo.held == held);
	hear(p, said);
	cr_assert_eq(turn(p), TURN_IDLE);
	cr_assert(c.echoed == said && echo.received == said);
	cr_assert(echo.held == 0 && !c.pending);
	pair_close(p);
}

TEST(connection, stalled)
{
	check_stall(unix_pair(4096), true);
	check_stall(tcp_pair(4096), true);
}

/* With no budget the rest waits in the kernel. */
TEST(connection, stalled_without_budget)
{
	echo.budget = 0;
	check_stall(tcp_pair(4096), false);
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
	cr_assert_eq(memcmp(&c, &empty, sizeof(c)), 0);
	pair_close(p);
}

/* No memory for the rest breaks this connection only. [F33] */
TEST(connection, no_memory)
{
	struct pair p = unix_pair(4096);
	int r;

	malloc_fails = true;
	for (r = TURN_IDLE; r >= 0; r = turn(p))
		(void)send(p.client, buffer, 5000, MSG_DONTWAIT);
	cr_assert_eq(r, -ENOMEM);
	cr_assert_null(c.pending);
	cr_assert_eq(echo.held, 0);
	pair_close(p);
}

/* A reset is an error, also while the echo waits or our FIN is sent; nothing is left of it. */
TEST(connection, reset)
{
	struct pair p = tcp_pair(0);
	int r;

	pair_reset(p);
	cr_assert_eq(turn(p), -ECONNRESET);
	pair_close(p);
	p = tcp_pair(4096);
	stall(p);
	pair_reset(p);
	r = turn(p);
	cr_assert(r == -ECONNRESET || r == -EPIPE, "%d", r);
	pair_close(p);
	cr_assert_eq(echo.held, 0);
	p = tcp_pair(0);
	c.finished = true;
	pair_reset(p);
	cr_assert_eq(connection_last_turn(&c, p.server, &echo), -ECONNRESET);
	pair_close(p);
}

/* A client that is gone is an error too, and no SIGPIPE, which would end the process. [F27] */
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

/* While the worker drains, what is owed is echoed, our FIN follows, and the rest is thrown away. */
TEST(connection, last_turn)
{
	struct pair p = unix_pair(0);
	int turns = 0;

	say(p, "hello");
	c.owed = 5;
	cr_assert_eq(connection_last_turn(&c, p.server, &echo), TURN_MORE);
	cr_assert(c.finished && c.owed == 0);
	check_heard(p, "hello");
	echo.size = 1;
	say(p, "again and again and again");
	while (connection_last_turn(&c, p.server, &echo) == TURN_MORE)
		turns++;
	cr_assert_gt(turns, 1, "that turn is not bounded");
	cr_assert_eq(connection_last_turn(&c, p.server, &echo), TURN_IDLE);
	check_heard(p, "");
	shutdown(p.client, SHUT_WR);
	cr_assert_eq(connection_last_turn(&c, p.server, &echo), TURN_END);
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
