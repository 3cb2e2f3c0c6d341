/* SPDX-License-Identifier: MIT */
/*
 * The echo of one socket, in two ways.
 *
 * Over real sockets, of which the socketpair(2) delivers within the system
 * call, so that each step can be foretold, and TCP on the loopback shows what
 * only TCP has: windows, resets, urgent bytes.
 *
 * And by script: send(2), recv(2) and malloc(3) are replaced by the linker
 * (--wrap), so that they can end early, be interrupted or fail at any place
 * where the kernel could do that but seldom does.
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
static unsigned char byte_at(uint64_t stream, uint64_t position)
{
	uint64_t x = (stream << 40 | position) * UINT64_C(0x9e3779b97f4a7c15);

	return (unsigned char)(x >> 56 ^ x >> 29);
}

/*
 * The script.
 */

/* Descriptors from here on are streams by script. */
#define SCRIPTED 100000
#define STREAMS 4

/* A client and the two queues between it and the echo. */
struct stream {
	struct connection c;
	size_t total;			  /* bytes that the client sends, then FIN */
	size_t arrived;			  /* of these, so many have come */
	size_t taken;			  /* of these, so many are out of the receive queue */
	size_t out;			  /* bytes that the echo has sent */
	size_t room;			  /* in the send queue */
	int error;			  /* what send and recv shall fail with, or 0 */
	bool event;			  /* epoll would report it */
	bool queued;			  /* its last turn was TURN_MORE */
	bool over;			  /* it ended, in order or not */
	enum { NOTHING, DRY, FULL } last; /* what EAGAIN said last */
};

static struct stream streams[STREAMS];
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

static ssize_t fail(int error)
{
	errno = error;
	return -1;
}

static ssize_t scripted_drop(struct stream *s, size_t size)
{
	size_t n = some_of(size);

	cr_assert_leq(s->taken + size, s->out, "bytes are dropped that were not echoed");
	s->taken += n;
	return (ssize_t)n;
}

static ssize_t scripted_recv(struct stream *s, unsigned char *data, size_t size, int flags)
{
	size_t n = s->arrived - s->taken;

	cr_assert_null(s->c.pending, "it reads while its echo waits");
	if (one_in(8))
		return fail(EINTR);
	if (flags & MSG_TRUNC)
		return scripted_drop(s, size);
	if (s->error && one_in(16))
		return fail(s->error);
	if (n == 0 && s->arrived == s->total)
		return 0;
	if (n == 0 || one_in(16)) {
		s->event |= n > 0; /* it has come just now */
		s->last = DRY;
		return fail(EAGAIN);
	}
	n = some_of(less(n, size));
	for (size_t i = 0; i < n; i++)
		data[i] = byte_at((uint64_t)(s - streams), s->taken + i);
	if (!(flags & MSG_PEEK))
		s->taken += n;
	return (ssize_t)n;
}

static ssize_t scripted_send(struct stream *s, const unsigned char *data, size_t size, int flags)
{
	size_t n;

	cr_assert(flags & MSG_NOSIGNAL);
	if (one_in(8))
		return fail(EINTR);
	if (s->error && one_in(16))
		return fail(s->error);
	if (one_in(16))
		s->room = 0;
	if (s->room == 0) {
		s->last = FULL;
		return fail(EAGAIN);
	}
	n = some_of(less(s->room, size));
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(data[i], byte_at((uint64_t)(s - streams), s->out + i),
			     "byte %zu is wrong", s->out + i);
	s->out += n;
	s->room -= n;
	return (ssize_t)n;
}

ssize_t __real_recv(int fd, void *data, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t size, int flags);
ssize_t __real_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags);
void *__real_malloc(size_t size);
ssize_t __real_read(int fd, void *data, size_t size);
ssize_t __wrap_read(int fd, void *data, size_t size);
void *__wrap_malloc(size_t size);

ssize_t __wrap_recv(int fd, void *data, size_t size, int flags)
{
	if (fd < SCRIPTED)
		return __real_recv(fd, data, size, flags);
	return scripted_recv(&streams[fd - SCRIPTED], data, size, flags);
}

ssize_t __wrap_send(int fd, const void *data, size_t size, int flags)
{
	if (fd < SCRIPTED)
		return __real_send(fd, data, size, flags);
	return scripted_send(&streams[fd - SCRIPTED], data, size, flags);
}

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

static void stream_start(struct stream *s, int error)
{
	memset(s, 0, sizeof(*s));
	s->total = helper_random(&chance, 4000);
	s->error = error;
	s->event = true;
}

/* Something happens at the client's end, and epoll would report what changed. */
static void stream_live(struct stream *s)
{
	if (s->arrived < s->total && one_in(2)) {
		s->arrived += some_of(less(s->total - s->arrived, 500));
		s->event = true;
	}
	if (one_in(2)) {
		s->event |= s->room == 0;
		s->room += some_of(500);
	}
}

/* How a turn ended must be what the last system call has said. */
static void stream_check(const struct stream *s, int r)
{
	if (r < 0) {
		cr_assert_eq(r, -s->error, "%s", strerror(-r));
		return;
	}
	cr_assert(r != TURN_IDLE || (s->last == DRY && s->out == s->taken));
	cr_assert(r != TURN_STALLED || s->last == FULL);
	cr_assert(r != TURN_END || (s->out == s->total && s->taken == s->total));
	cr_assert_eq(s->c.pending == NULL, s->out == s->taken);
	cr_assert_eq(s->c.echoed, s->out);
}

static void stream_turn(struct stream *s)
{
	int r;

	if (s->over || !(s->event || s->queued))
		return;
	s->event = false;
	s->last = NOTHING;
	r = connection_turn(&s->c, SCRIPTED + (int)(s - streams), &echo);
	stream_check(s, r);
	s->queued = r == TURN_MORE;
	s->over = r == TURN_END || r < 0;
	if (r < 0)
		connection_forget(&s->c, &echo);
}

/* What the echo says to hold is what the pending buffers have. */
static size_t held(void)
{
	size_t sum = 0;

	for (int i = 0; i < STREAMS; i++)
		if (streams[i].c.pending)
			sum += streams[i].c.pending->size;
	cr_assert_eq(echo.held, sum);
	return sum;
}

/* A budget for this buffer: none, not quite one, exactly one, some, plenty. */
static size_t choose_budget(size_t size)
{
	const size_t budgets[] = { 0, size - 1, size, size + 1, 3 * size, PLENTY };

	return budgets[helper_random(&chance, 6)];
}

/* What may happen in a run besides what always does. */
struct script {
	int error;	     /* of any call, or 0 */
	bool budget_changes; /* as by a reload */
};

/* Lets all streams live, each with its turns, until it is over. */
static void run_script(const struct script *script)
{
	static const size_t sizes[] = { 1, 2, 7, 64, 1000, 65536 };
	int over = 0;

	echo.size = sizes[helper_random(&chance, 6)];
	echo.budget = choose_budget(echo.size);
	for (int i = 0; i < STREAMS; i++)
		stream_start(&streams[i], script->error);
	for (int round = 0; over < STREAMS; round++) {
		cr_assert_lt(round, 100000, "a stream has been forgotten");
		over = 0;
		for (int i = 0; i < STREAMS; i++) {
			stream_live(&streams[i]);
			stream_turn(&streams[i]);
			cr_assert(held() <= echo.budget || script->budget_changes);
			over += streams[i].over;
		}
		if (script->budget_changes)
			echo.budget = choose_budget(echo.size);
	}
	cr_assert_eq(echo.held, 0);
}

/*
 * Whatever the system calls do, what goes out is what came in, and in the end
 * all of it; nobody is forgotten who has something to do, nobody reads while
 * its echo waits, and the budget holds.  Each byte is checked as it is sent. [F2 F28]
 */
TEST(connection, script)
{
	for (int run = 0; run < 1000; run++) {
		uint64_t before = echo.received, total = 0;

		run_script(&(struct script){ .error = 0 });
		for (int i = 0; i < STREAMS; i++)
			total += streams[i].total;
		cr_assert_eq(echo.received - before, total);
	}
}

/*
 * With an error at any place the turn ends with it, and the budget comes back.
 * What was sent before it was received, and is counted so.
 */
TEST(connection, script_with_errors)
{
	static const int errors[] = { ECONNRESET, EPIPE, ETIMEDOUT, EHOSTUNREACH, ENOBUFS, ENOMEM };

	for (int run = 0; run < 1000; run++) {
		uint64_t before = echo.received, out = 0;

		run_script(&(struct script){ .error = errors[run % 6] });
		for (int i = 0; i < STREAMS; i++)
			out += streams[i].out;
		cr_assert_geq(echo.received - before, out);
	}
}

/* A budget that changes in between is in force from the next receive on. */
TEST(connection, script_with_changing_budget)
{
	for (int run = 0; run < 1000; run++)
		run_script(&(struct script){ .budget_changes = true });
}

/* Without memory for what must wait, the turn says so, and holds nothing. [F33] */
TEST(connection, script_without_memory)
{
	for (int run = 0; run < 1000; run++) {
		struct stream *s = &streams[0];

		echo.budget = PLENTY;
		stream_start(s, ENOMEM);
		mallocs_to_failure = 1 + run % 3;
		for (int round = 0; !s->over; round++) {
			cr_assert_lt(round, 100000);
			stream_live(s);
			stream_turn(s);
		}
		cr_assert_null(s->c.pending);
		cr_assert_eq(echo.held, 0);
	}
	mallocs_to_failure = 0;
}

/* What has gone out counts as echoed, also if the next send fails. */
TEST(connection, script_counts_until_the_error)
{
	for (int run = 0; run < 1000; run++) {
		run_script(&(struct script){ .error = ECONNRESET });
		for (int i = 0; i < STREAMS; i++)
			cr_assert_eq(streams[i].c.echoed, streams[i].out, "%zu went out, not %zu",
				     streams[i].out, (size_t)streams[i].c.echoed);
	}
}

/*
 * Real sockets.
 */

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

		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = byte_at(9, said + i);
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
		for (ssize_t i = 0; i < n; i++)
			cr_assert_eq(data[i], byte_at(9, got + (size_t)i));
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

		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = byte_at(9, said + i);
		n = send(p.client, data, less(sizeof(data), size - said), MSG_DONTWAIT);
		said += n > 0 ? (size_t)n : 0;
		cr_assert_geq(turn(p), 0);
		piped += c.streams;
		cr_assert_leq(echo.held, echo.budget);
		if (said < size && one_in(2))
			continue;
		n = recv(p.client, data, sizeof(data), MSG_DONTWAIT);
		for (ssize_t i = 0; i < n; i++)
			cr_assert_eq(data[i], byte_at(9, got + (size_t)i));
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

/* A stream goes through the pipe, also when its client reads slowly, and comes back whole. */
TEST(connection, stream)
{
	struct pair p = begin_stream();

	stream(p, 50 << 20);
	check_empty_pipe();
	pair_close(p);
	pipe_deinit(&echo.pipe);
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
	pair_close(p);
	pipe_deinit(&echo.pipe);
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
	pair_close(p);
	pair_close(other);
	pipe_deinit(&echo.pipe);
}

/* Streams until the socket takes no more, and what is to be done then fails. */
static void check_stall_that_fails(struct pair p, int error)
{
	int r;

	do {
		static const unsigned char data[1 << 16];

		(void)send(p.client, data, sizeof(data), MSG_DONTWAIT);
		r = turn(p);
	} while (r >= 0);
	cr_assert_eq(r, -error);
	connection_forget(&c, &echo);
}

/* The pipe gives back nothing of what the socket does not take. */
TEST(connection, stream_without_pipe)
{
	struct pair p = begin_stream();

	stream(p, 4 << 20);
	reads_to_failure = 1;
	check_stall_that_fails(p, EIO);
	cr_assert_eq(echo.pipe.room, 0);
	cr_assert_eq(echo.held, 0);
	pair_close(p);
	pipe_deinit(&echo.pipe);
}

/* There is no memory for what the socket does not take. */
TEST(connection, stream_without_memory)
{
	struct pair p = begin_stream();

	stream(p, 4 << 20);
	mallocs_to_failure = 1;
	check_stall_that_fails(p, ENOMEM);
	check_empty_pipe();
	cr_assert_eq(echo.held, 0);
	pair_close(p);
	pipe_deinit(&echo.pipe);
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
	pair_close(p);
	pipe_deinit(&echo.pipe);
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

	for (size_t i = 0; i < size; i++)
		data[i] = byte_at(9, t->said + i);
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

	for (ssize_t i = 0; i < n; i++)
		cr_assert_eq(data[i], byte_at(9, t->heard + (size_t)i));
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
	cr_assert_gt(t.seen[TURN_STALLED], 10, "there was no back-pressure");
	cr_assert_gt(t.seen[TURN_MORE], 10);
	close(t.epoll);
	pair_close(p);
}

#define MEGABYTES ((size_t)16 << 20)

/* Many megabytes come back byte for byte, and no edge is lost, in either mode. */
TEST(connection, megabytes)
{
	talk(tcp_pair(0), MEGABYTES);
}

TEST(connection, megabytes_without_budget)
{
	echo.budget = 0;
	talk(tcp_pair(0), MEGABYTES);
}

TEST(connection, megabytes_between_modes)
{
	echo.budget = echo.size;
	talk(tcp_pair(0), MEGABYTES);
}

TEST(connection, megabytes_by_small_buffers)
{
	talk(tcp_pair(4096), MEGABYTES);
	echo.budget = 0;
	talk(tcp_pair(4096), MEGABYTES);
}

TEST(connection, megabytes_locally)
{
	talk(unix_pair(8192), MEGABYTES);
	echo.budget = 0;
	talk(unix_pair(8192), MEGABYTES);
}
