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
#include "connection.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper.h"

#define PLENTY ((size_t)1 << 40)

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
	size_t total;	  /* bytes that the client sends, then FIN */
	size_t arrived;	  /* of these, so many have come */
	size_t taken;	  /* of these, so many are out of the receive queue */
	size_t out;	  /* bytes that the echo has sent */
	size_t room;	  /* in the send queue */
	int error;	  /* what send and recv shall fail with, or 0 */
	bool event;	  /* epoll would report it */
	bool queued;	  /* its last turn was TURN_MORE */
	bool over;	  /* it ended, in order or not */
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

static void stream_start(struct stream *s)
{
	memset(s, 0, sizeof(*s));
	s->total = helper_random(&chance, 4000);
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
static void stream_check(struct stream *s, int r)
{
	cr_assert(r != TURN_IDLE || (s->last == DRY && s->out == s->taken));
	cr_assert(r != TURN_STALLED || s->last == FULL);
	cr_assert(r != TURN_END || (s->out == s->total && s->taken == s->total));
	cr_assert(r >= 0 || r == -s->error, "%s", strerror(-r));
	cr_assert_eq(s->c.pending == NULL, s->out == s->taken || r < 0);
	cr_assert(r < 0 || s->c.echoed == s->out);
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

/* The budget is what the pending buffers have, and never exceeded. */
static void check_budget(void)
{
	size_t held = 0;

	for (int i = 0; i < STREAMS; i++)
		if (streams[i].c.pending)
			held += streams[i].c.pending->size;
	cr_assert_eq(echo.held, held);
	cr_assert_leq(held, echo.budget);
}

/* Lets all streams live until each one is over. */
static void run_script(int error)
{
	int over = 0;

	for (int i = 0; i < STREAMS; i++) {
		stream_start(&streams[i]);
		streams[i].error = error;
	}
	for (int round = 0; over < STREAMS; round++) {
		cr_assert_lt(round, 100000, "a stream has been forgotten");
		over = 0;
		for (int i = 0; i < STREAMS; i++) {
			stream_live(&streams[i]);
			stream_turn(&streams[i]);
			check_budget();
			over += streams[i].over;
		}
	}
	cr_assert_eq(echo.held, 0);
}

static const size_t sizes[] = { 1, 2, 7, 64, 1000, 65536 };

#define N_SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* A budget for this buffer: none, not quite one, exactly one, some, plenty. */
static size_t choose_budget(size_t size)
{
	const size_t budgets[] = { 0, size - 1, size, size + 1, 3 * size, PLENTY };

	return budgets[helper_random(&chance, 6)];
}

/*
 * Whatever the system calls do, what goes out is what came in, and in the end
 * all of it; nobody is forgotten who has something to do, nobody reads while
 * its echo waits, and the budget holds.  Each byte is checked as it is sent.
 */
TEST(connection, script)
{
	uint64_t before, total;

	for (int run = 0; run < 1000; run++) {
		echo.size = sizes[helper_random(&chance, N_SIZES)];
		echo.budget = choose_budget(echo.size);
		before = echo.received;
		run_script(0);
		total = 0;
		for (int i = 0; i < STREAMS; i++)
			total += streams[i].total;
		cr_assert_eq(echo.received - before, total);
	}
}

/* With an error at any place the turn ends with it, and the budget comes back. */
TEST(connection, script_with_errors)
{
	static const int errors[] = { ECONNRESET, EPIPE, ETIMEDOUT, EHOSTUNREACH, ENOBUFS, ENOMEM };

	for (int run = 0; run < 1000; run++) {
		echo.size = sizes[helper_random(&chance, N_SIZES)];
		echo.budget = choose_budget(echo.size);
		run_script(errors[helper_random(&chance, 6)]);
	}
}

/* The budget may change at any time, as by a reload. */
TEST(connection, script_with_changing_budget)
{
	for (int run = 0; run < 1000; run++) {
		size_t small = some_of(1000);

		echo.size = 256;
		for (int i = 0; i < STREAMS; i++)
			stream_start(&streams[i]);
		for (int round = 0; round < 100000; round++) {
			struct stream *s = &streams[round % STREAMS];

			echo.budget = one_in(2) ? PLENTY : small;
			stream_live(s);
			stream_turn(s);
		}
		for (int i = 0; i < STREAMS; i++)
			cr_assert(streams[i].over);
		cr_assert_eq(echo.held, 0);
	}
}
