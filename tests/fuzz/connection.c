/* SPDX-License-Identifier: MIT */
/*
 * The echo, with every answer of the kernel chosen by the input: two clients
 * share a buffer, a budget and a pipe, and each call gives all, a part, EINTR,
 * EAGAIN, an error, or no memory.
 *
 * What goes out is what came in, in order; a turn ends with what the kernel has
 * really said; no connection that has something to do is forgotten, none is read while
 * its echo waits; the budget holds, and in the end nothing is held.
 */
#include "echo/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"

/* Descriptors of the script. */
#define STREAM 100000
#define STREAMS 2
#define PIPE_IN 100100
#define PIPE_OUT 100101

/* A stream repeats its bytes after a prime; so much may lie in one piece. */
#define PERIOD 65537
#define PIECE (1 << 18)

/* A client, and the two queues between it and the echo. */
struct stream {
	struct connection c;
	size_t arrived;			  /* bytes that have come */
	size_t taken;			  /* of these, so many are out of the receive queue */
	size_t out;			  /* bytes that the echo has sent */
	size_t room;			  /* in the send queue */
	bool fin;			  /* nothing more will come */
	int error;			  /* what a call may fail with, or 0 */
	int failed;			  /* what a call has failed with, or 0 */
	bool event;			  /* epoll would report it */
	bool queued;			  /* its last turn was TURN_MORE */
	bool idle;			  /* its last turn was TURN_IDLE */
	bool over;			  /* it has ended, by FIN or reset */
	enum { NOTHING, DRY, FULL } last; /* what EAGAIN has said last */
};

const unsigned fuzz_random_inputs = 10000;

static struct stream streams[STREAMS];
static struct stream *active; /* whose turn it is; NULL: no turn */
static struct echo echo;
static struct tape tape;
static unsigned char buffer[PIECE];
static unsigned receives; /* that gave something, in this turn */

/* The pipe holds one piece of one stream. */
static struct {
	const struct stream *stream;
	size_t at, size;
} piped;

static const unsigned char *bytes_of(const struct stream *s, size_t at)
{
	static unsigned char bytes[PERIOD + PIECE];
	static bool made;

	for (size_t i = 0; !made && i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)((i % PERIOD + 1) * UINT64_C(0x9e3779b97f4a7c15) >> 56);
	made = true;
	return bytes + (at + (size_t)(s - streams) * 4099) % PERIOD;
}

enum { ALL, INTERRUPTED, FAILED, AGAIN, ONE, HALF, ALL_BUT_ONE, REFUSED };

/* An answer; half of them are kind. */
static unsigned answer(void)
{
	return tape_next(&tape) % 14;
}

static size_t part(size_t n, unsigned how)
{
	if (how == ONE)
		return 1;
	if (how == HALF)
		return (n + 1) / 2;
	return how == ALL_BUT_ONE && n > 1 ? n - 1 : n;
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

static ssize_t fail_for_good(struct stream *s, int error)
{
	s->failed = error;
	return fail(error);
}

/* Bytes that were peeked at are dropped: no more than were echoed. */
static ssize_t drop(struct stream *s, size_t size, unsigned how)
{
	size_t n = part(size, how);

	fuzz_check(s->taken + size <= s->out);
	s->taken += n;
	return (ssize_t)n;
}

static ssize_t scripted_recv(struct stream *s, void *data, size_t size, int flags)
{
	size_t n = s->arrived - s->taken;
	unsigned how = answer();

	fuzz_check(s == active && !s->c.pending && piped.size == 0);
	if (s->failed) /* an error is reported only once */
		return 0;
	if (how == INTERRUPTED)
		return fail(EINTR);
	if (how == FAILED && s->error)
		return fail_for_good(s, s->error);
	if (flags & MSG_TRUNC)
		return drop(s, size, how);
	if (n == 0 && s->fin)
		return 0;
	if (n == 0 || how == AGAIN) {
		s->event |= n > 0; /* it has come just now */
		s->last = DRY;
		return fail(EAGAIN);
	}
	n = part(less(n, size), how);
	memcpy(data, bytes_of(s, s->taken), n);
	if (!(flags & MSG_PEEK))
		s->taken += n;
	receives++;
	return (ssize_t)n;
}

/* 0 if the send queue takes something; else -1 with errno. */
static ssize_t scripted_room(struct stream *s, unsigned how)
{
	fuzz_check(s == active);
	if (how == INTERRUPTED)
		return fail(EINTR);
	if (how == FAILED && s->error)
		return fail_for_good(s, s->error);
	if (how == AGAIN)
		s->room = 0;
	if (s->room > 0)
		return 0;
	s->last = FULL;
	return fail(EAGAIN);
}

static ssize_t scripted_send(struct stream *s, const void *data, size_t size, int flags)
{
	unsigned how = answer();
	size_t n;

	fuzz_check(flags & MSG_NOSIGNAL && piped.size == 0 && size > 0);
	if (scripted_room(s, how) < 0)
		return -1;
	n = part(less(s->room, size), how);
	fuzz_check(memcmp(data, bytes_of(s, s->out), n) == 0);
	fuzz_check(s->out + n <= s->arrived);
	s->out += n;
	s->room -= n;
	return (ssize_t)n;
}

/* What splice(2) says of an empty stream is no answer; an error it may tell in recv's stead. */
static ssize_t scripted_fill(struct stream *s, size_t size)
{
	size_t n = less(s->arrived - s->taken, size);
	unsigned how = answer();

	fuzz_check(s == active && !s->c.pending && piped.size == 0);
	fuzz_check(!echo.pipe.refused);
	if (how == INTERRUPTED)
		return fail(EINTR);
	if (how == REFUSED)
		return fail(EPERM);
	if (how == FAILED && s->error)
		return fail_for_good(s, s->error);
	if (n == 0 || how == AGAIN || how == FAILED)
		return how == FAILED ? 0 : fail(EAGAIN);
	n = part(n, how);
	piped.stream = s;
	piped.at = s->taken;
	piped.size = n;
	s->taken += n;
	receives++;
	return (ssize_t)n;
}

static ssize_t scripted_unpipe(struct stream *s, size_t size)
{
	unsigned how = answer();
	size_t n;

	fuzz_check(piped.size >= size && size > 0);
	if (how == REFUSED)
		return fail(EINVAL);
	if (scripted_room(s, how) < 0)
		return -1;
	n = part(less(s->room, size), how);
	fuzz_check(piped.stream == s && piped.at == s->out);
	piped.at += n;
	piped.size -= n;
	s->out += n;
	s->room -= n;
	return (ssize_t)n;
}

static ssize_t scripted_read(void *data, size_t size)
{
	unsigned how = answer();
	size_t n = part(less(size, piped.size), how);

	fuzz_check(active && piped.size > 0);
	if (how == INTERRUPTED)
		return fail(EINTR);
	if (how == REFUSED) { /* of no matter if the connection is broken anyway */
		active->failed = active->failed ? active->failed : EIO;
		return fail(EIO);
	}
	memcpy(data, bytes_of(piped.stream, piped.at), n);
	piped.at += n;
	piped.size -= n;
	return (ssize_t)n;
}

ssize_t __real_recv(int fd, void *data, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t size, int flags);
ssize_t __real_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags);
ssize_t __real_read(int fd, void *data, size_t size);
ssize_t __wrap_read(int fd, void *data, size_t size);
ssize_t __wrap_splice(int from, off64_t *in, int to, off64_t *out, size_t size, unsigned flags);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

ssize_t __wrap_recv(int fd, void *data, size_t size, int flags)
{
	if (fd < STREAM)
		return __real_recv(fd, data, size, flags);
	return scripted_recv(&streams[fd - STREAM], data, size, flags);
}

ssize_t __wrap_send(int fd, const void *data, size_t size, int flags)
{
	if (fd < STREAM)
		return __real_send(fd, data, size, flags);
	return scripted_send(&streams[fd - STREAM], data, size, flags);
}

ssize_t __wrap_read(int fd, void *data, size_t size)
{
	return fd == PIPE_OUT ? scripted_read(data, size) : __real_read(fd, data, size);
}

ssize_t __wrap_splice(int from, off64_t *in, int to, off64_t *out, size_t size, unsigned flags)
{
	fuzz_check(!in && !out && flags & SPLICE_F_NONBLOCK);
	if (to == PIPE_IN)
		return scripted_fill(&streams[from - STREAM], size);
	fuzz_check(from == PIPE_OUT);
	return scripted_unpipe(&streams[to - STREAM], size);
}

void *__wrap_malloc(size_t size)
{
	if (active && answer() == FAILED) {
		active->failed = ENOMEM;
		errno = ENOMEM;
		return NULL;
	}
	return __real_malloc(size);
}

/* How a turn has ended must be what the last call has said. */
static void check_turn(const struct stream *s, int r)
{
	fuzz_check(r != TURN_IDLE || (s->last == DRY && s->out == s->taken));
	fuzz_check(r != TURN_STALLED || s->last == FULL);
	fuzz_check(r != TURN_END || (s->fin && s->out == s->arrived && s->taken == s->arrived));
	fuzz_check(r >= 0 || -r == s->failed);
	fuzz_check(r < 0 || !s->failed);
	fuzz_check(r < 0 || (s->c.pending == NULL) == (s->out == s->taken));
	fuzz_check(s->c.echoed == s->out);
}

/* As check_turn(), once our FIN is sent. */
static void check_discard(const struct stream *s, int r)
{
	fuzz_check(r != TURN_IDLE || s->last == DRY);
	fuzz_check(r != TURN_STALLED);
	fuzz_check(r != TURN_END || (s->fin && s->taken == s->arrived));
	fuzz_check(r >= 0 || -r == s->failed);
}

static size_t pending(void)
{
	size_t sum = 0;

	for (int i = 0; i < STREAMS; i++)
		sum += streams[i].c.pending ? streams[i].c.pending->size : 0;
	return sum;
}

static int turn(struct stream *s)
{
	uint64_t received = echo.received;
	size_t taken = s->taken, held = echo.held;
	int fd = STREAM + (int)(s - streams), r;

	active = s;
	receives = 0;
	s->last = NOTHING;
	r = s->c.finished ? connection_last_turn(&s->c, fd, &echo) :
			    connection_turn(&s->c, fd, &echo);
	active = NULL;
	if (echo.pipe.room == 0) /* it is closed, with what was in it */
		piped.size = 0;
	fuzz_check(piped.size == 0 && receives <= 4);
	if (s->c.finished) {
		check_discard(s, r);
		return r;
	}
	check_turn(s, r);
	fuzz_check(r < 0 || echo.received - received == s->taken - taken);
	fuzz_check(echo.held <= held || echo.held <= echo.budget);
	fuzz_check(r < 0 || echo.held == pending());
	return r;
}

/* A turn, if a worker would give it one, and what the worker does then. */
static void serve(struct stream *s)
{
	int r;

	if (s->over || !(s->event || s->queued))
		return;
	s->event = false;
	r = turn(s);
	s->queued = r == TURN_MORE;
	s->idle = r == TURN_IDLE;
	s->over = r == TURN_END || r < 0;
	if (s->over)
		connection_forget(&s->c, &echo);
}

static size_t amount(void)
{
	static const size_t amounts[] = { 1, 2, 100, 4096, 65535, 65536, 70001, 200000 };

	return less(amounts[tape_next(&tape) % 8], 40 * echo.size);
}

static size_t budget(void)
{
	const size_t budgets[] = { SIZE_MAX / 2,  0, echo.size, echo.size - 1, echo.pipe.room,
				   2 * echo.size, 1, PIECE };

	return budgets[tape_next(&tape) % 8];
}

static void arrive(struct stream *s, size_t n)
{
	if (s->fin || s->arrived > 8 * PIECE)
		return;
	s->arrived += n;
	s->event = true;
}

static void drain(struct stream *s, size_t n)
{
	s->event |= s->room == 0;
	s->room += n;
}

static void end(struct stream *s)
{
	s->event |= !s->fin;
	s->fin = true;
}

/* Something happens to one of them. */
static void step(void)
{
	static const int errors[] = { ECONNRESET, EPIPE, ETIMEDOUT, ENOBUFS };
	unsigned what = tape_next(&tape);
	struct stream *s = &streams[what % STREAMS];

	switch (what / STREAMS % 8) {
	case 0:
		arrive(s, amount());
		break;
	case 1:
		drain(s, amount());
		break;
	case 2:
		end(s);
		break;
	case 3:
		s->error = errors[tape_next(&tape) % 4];
		s->event = true;
		break;
	case 4:
		echo.budget = budget();
		break;
	case 5:
		s->c.finished |= s->idle && !s->over; /* as a worker that is to end */
		break;
	default:
		serve(s);
	}
}

static void begin(void)
{
	static const size_t sizes[] = { 4096, 1, 7, 64, 65536, 65537, 131072, PIECE };
	static const size_t rooms[] = { 65536, 0, 4096, PIECE };
	unsigned choice = tape_next(&tape);

	memset(streams, 0, sizeof(streams));
	echo = (struct echo){
		.buffer = buffer,
		.size = sizes[choice % 8],
		.pipe = { .in = PIPE_IN, .out = PIPE_OUT, .room = rooms[choice / 8 % 4] },
	};
	echo.budget = budget();
	for (int i = 0; i < STREAMS; i++) {
		streams[i].event = true;
		streams[i].room = 1000;
	}
}

/* Each client sends its FIN and reads what there is: then all must end. */
static void finish(struct stream *s)
{
	end(s);
	drain(s, SIZE_MAX / 2);
	while (!s->over) {
		fuzz_check(s->event || s->queued);
		serve(s);
	}
	fuzz_check(s->failed || s->c.finished || s->out == s->arrived);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	tape = (struct tape){ data, data + size };
	begin();
	while (tape.at < tape.end)
		step();
	for (int i = 0; i < STREAMS; i++)
		finish(&streams[i]);
	fuzz_check(echo.held == 0);
	return 0;
}
