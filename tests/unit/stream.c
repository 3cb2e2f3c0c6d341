/* SPDX-License-Identifier: MIT */
#include "echoc/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "echoc/payload.h"
#include "helper.h"

#define ROOM 4

static struct stream stream;
static struct tally tally;
static unsigned char buffer[STREAM_CHUNK];
static unsigned seen, seen_verified;
static int ours, theirs;

static void observe(void *context, size_t size, int64_t latency, bool verified)
{
	cr_assert_eq(context, &seen);
	cr_assert_geq(latency, 0);
	cr_assert_gt(size, 0);
	seen++;
	seen_verified += verified;
}

static const struct stream_context context = { &tally, buffer, observe, &seen };

static void begin(void)
{
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	ours = fds[0];
	theirs = fds[1];
	cr_assert_eq(stream_init(&stream, ROOM), 0);
	stream_begin(&stream, 1, 9);
}

static void end(void)
{
	stream_deinit(&stream);
	close(ours);
	close(theirs);
}

TestSuite(stream, .init = begin, .fini = end, .timeout = HELPER_TIMEOUT);

/* All that is counted, of which the rest is 0. */
struct counted {
	unsigned messages, verified, corrupt, lost;
	uint64_t bytes; /* that were right */
};

/* What is verified was also observed, and has a latency unless it was lost before. */
static void check(struct counted expected)
{
	cr_assert_eq(counter_get(&tally.messages_sent), expected.messages);
	cr_assert_eq(counter_get(&tally.messages_verified), expected.verified);
	cr_assert_eq(counter_get(&tally.latency.total), expected.verified);
	cr_assert_eq(counter_get(&tally.corrupt), expected.corrupt);
	cr_assert_eq(counter_get(&tally.lost), expected.lost);
	cr_assert_eq(counter_get(&tally.bytes_verified), expected.bytes);
}

static void add(size_t size)
{
	stream_add(&stream, size, 0, true);
	cr_assert_eq(stream_send(&stream, ours, &context), STREAM_WAIT);
}

/* Reads what the stream has sent, exactly n bytes. */
static void take(unsigned char *data, size_t n)
{
	unsigned char more;

	cr_assert_eq(recv(theirs, data, n, MSG_WAITALL), (ssize_t)n);
	cr_assert_eq(recv(theirs, &more, 1, 0), -1, "more was sent");
}

static void give(const void *data, size_t n, int outcome)
{
	cr_assert_eq(send(theirs, data, n, 0), (ssize_t)n);
	cr_assert_eq(stream_receive(&stream, ours, &context), outcome);
}

/*
 * Messages are sent as the payload of that stream, and come back as verified ones, with
 * their last byte, however the other side cuts and joins them.
 */
TEST(stream, round_trip)
{
	unsigned char data[30];

	add(10);
	add(20);
	take(data, 30);
	cr_assert_eq(payload_check(payload_key(1, 9), 0, data, 30), 30);
	for (unsigned i = 0; i < 30; i++) {
		cr_assert_not(stream_is_quiet(&stream));
		cr_assert_eq(seen, i >= 10);
		give(data + i, 1, STREAM_WAIT);
	}
	cr_assert(stream_is_quiet(&stream));
	cr_assert_eq(seen_verified, 2);
	check((struct counted){ .messages = 2, .verified = 2, .bytes = 30 });
}

/* The ring is used again and again, and says when it is full. */
TEST(stream, wrap)
{
	unsigned char data[ROOM * 16];

	for (unsigned round = 0; round < 10 * ROOM; round++) {
		unsigned n = 1 + round % ROOM;

		for (unsigned i = 0; i < n; i++) {
			cr_assert(stream_has_room(&stream));
			add(16);
		}
		cr_assert_eq(stream_has_room(&stream), n < ROOM);
		take(data, 16 * n);
		give(data, 16, STREAM_WAIT); /* so that its begin moves on unevenly */
		cr_assert(stream_has_room(&stream));
		if (n > 1)
			give(data + 16, 16 * (n - 1), STREAM_WAIT);
	}
	cr_assert_eq(counter_get(&tally.messages_verified), counter_get(&tally.messages_sent));
	cr_assert(stream_is_quiet(&stream));
}

/* A wrong byte spoils its message only, which has no latency, and all other bytes count. */
TEST(stream, wrong_byte)
{
	unsigned char data[48];

	for (int i = 0; i < 3; i++)
		add(16);
	take(data, 48);
	data[18] ^= 4;
	data[30] ^= 128; /* in the other half of the same message */
	give(data, 24, STREAM_WAIT);
	give(data + 24, 24, STREAM_WAIT);
	cr_assert(seen == 3 && seen_verified == 2);
	check((struct counted){ .messages = 3, .verified = 2, .corrupt = 1, .bytes = 46 });
}

/* Bytes before anything was sent. */
TEST(stream, unasked)
{
	give("x", 1, -EBADMSG);
	check((struct counted){ .corrupt = 1 });
}

/* A byte more than was sent, in one piece or apart: what was asked for is back all the same. */
static void check_one_too_many(size_t first)
{
	unsigned char data[17] = { 0 };

	add(16);
	take(data, 16);
	if (first > 0)
		give(data, first, STREAM_WAIT);
	give(data + first, 17 - first, -EBADMSG);
	check((struct counted){ .messages = 1, .verified = 1, .corrupt = 1, .bytes = 16 });
}

TEST(stream, one_too_many)
{
	check_one_too_many(16);
}

TEST(stream, one_too_many_at_once)
{
	check_one_too_many(0);
}

/* The right bytes, but before they are sent. */
TEST(stream, partly_sent)
{
	static unsigned char data[STREAM_CHUNK];
	size_t size = 64 << 20, sent;

	add(size);
	sent = (size_t)counter_get(&tally.bytes_sent);
	cr_assert_lt(sent, size, "the socket takes it all");
	while (recv(theirs, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
	for (size_t at = 0; at < sent;) {
		size_t n = sent - at < 4096 ? sent - at : 4096;

		payload_make(payload_key(1, 9), at, data, n);
		give(data, n, STREAM_WAIT);
		at += n;
	}
	payload_make(payload_key(1, 9), sent, data, 1);
	give(data, 1, -EBADMSG);
	check((struct counted){ .messages = 1, .corrupt = 1, .bytes = sent });
}

/* Too late is lost, once, whatever still comes; and right bytes stay right. */
TEST(stream, lost)
{
	unsigned char data[32];
	int64_t first, second;

	add(16);
	first = stream_oldest(&stream);
	while (clock_ns() == first)
		continue;
	add(16);
	cr_assert_eq(stream_expire(&stream, first, &tally), 0, "the time itself is in time");
	for (int i = 0; i < 2; i++)
		cr_assert_eq(stream_expire(&stream, first + 1, &tally), i == 0);
	second = stream_oldest(&stream);
	cr_assert_gt(second, first);
	cr_assert_eq(stream_silent_since(&stream), first);
	cr_assert_not(stream_is_quiet(&stream));
	take(data, 32);
	give(data, 32, STREAM_WAIT);
	check((struct counted){ .messages = 2, .verified = 1, .lost = 1, .bytes = 32 });
	cr_assert_eq(stream_oldest(&stream), INT64_MAX);
	cr_assert_eq(stream_silent_since(&stream), INT64_MAX);
}

/* What counts is silence: a byte that comes back gives all that follow the whole time anew. */
TEST(stream, slow)
{
	unsigned char data[32];
	int64_t sent;

	add(16);
	add(16);
	sent = stream_oldest(&stream);
	take(data, 32);
	give(data, 1, STREAM_WAIT);
	cr_assert_gt(stream_oldest(&stream), sent);
	cr_assert_eq(stream_expire(&stream, stream_oldest(&stream), &tally), 0);
}

/* What is planned and was never sent cannot be lost, however old its plan is. */
TEST(stream, unsent)
{
	counter unsent = 0;

	add(16);
	stream_add(&stream, 16, 0, true);
	stream_add(&stream, 16, 0, true);
	cr_assert_eq(stream_expire(&stream, INT64_MAX, &tally), 1);
	cr_assert_not(stream_is_quiet(&stream));
	cr_assert_eq(stream_abandon(&stream, &tally.lost, &unsent), 0,
		     "the sent one is lost already");
	check((struct counted){ .messages = 1, .lost = 1 });
	cr_assert_eq(counter_get(&unsent), 2);
	cr_assert(stream_is_quiet(&stream));
}

/* A warm-up is left out of all numbers, but for wrong bytes. */
TEST(stream, warm_up)
{
	unsigned char data[48];

	stream_add(&stream, 16, 0, false);
	stream_add(&stream, 16, 0, false);
	add(16);
	take(data, 48);
	data[20] ^= 1;
	give(data, 24, STREAM_WAIT);
	give(data + 24, 24, STREAM_WAIT);
	cr_assert_eq(counter_get(&tally.bytes_sent), 16);
	check((struct counted){ .messages = 1, .verified = 1, .corrupt = 1, .bytes = 16 });
	stream_add(&stream, 16, 0, false);
	cr_assert_eq(stream_send(&stream, ours, &context), STREAM_WAIT);
	cr_assert_eq(stream_expire(&stream, INT64_MAX, &tally), 1);
	cr_assert_eq(counter_get(&tally.lost), 0);
}

/*
 * With lost ones alone on their way it is quiet, though they keep their places; one that
 * comes back wrong is corrupt, too.
 */
TEST(stream, all_lost)
{
	unsigned char data[16 * ROOM];

	for (int i = 0; i < ROOM; i++)
		add(16);
	stream_expire(&stream, INT64_MAX, &tally);
	cr_assert(stream_is_quiet(&stream));
	cr_assert_not(stream_has_room(&stream));
	take(data, sizeof(data));
	data[0] ^= 1;
	give(data, 16, STREAM_WAIT);
	check((struct counted){ .messages = ROOM, .corrupt = 1, .lost = ROOM, .bytes = 15 });
}

/* Begun anew it is another stream, and knows nothing of what was on its way. */
TEST(stream, anew)
{
	unsigned char data[16], again[16];

	add(16);
	take(data, 16);
	stream_begin(&stream, 1, 10);
	cr_assert(stream_is_quiet(&stream));
	add(16);
	take(again, 16);
	cr_assert_neq(memcmp(data, again, 16), 0);
	give(again, 16, STREAM_WAIT);
	check((struct counted){ .messages = 2, .verified = 1, .bytes = 16 });
}

/* FIN, and an end that is closed. */
TEST(stream, ends)
{
	add(16);
	shutdown(theirs, SHUT_WR);
	cr_assert_eq(stream_receive(&stream, ours, &context), STREAM_END);
	close(theirs);
	stream_add(&stream, 16, 0, true);
	cr_assert_eq(stream_send(&stream, ours, &context), -EPIPE);
	theirs = -1;
}

/* A message larger than the socket takes goes out and comes back by and by. */
TEST(stream, large)
{
	enum { SIZE = 5 * STREAM_CHUNK + 77 };
	static unsigned char data[STREAM_CHUNK];
	size_t echoed = 0;

	add(SIZE);
	cr_assert_lt(counter_get(&tally.bytes_sent), SIZE);
	while (echoed < SIZE) {
		ssize_t n = recv(theirs, data, 4096, 0);

		if (n > 0)
			give(data, (size_t)n, STREAM_WAIT);
		else
			cr_assert_eq(errno, EAGAIN);
		echoed += n > 0 ? (size_t)n : 0;
		cr_assert_eq(stream_send(&stream, ours, &context), STREAM_WAIT);
	}
	cr_assert_eq(counter_get(&tally.bytes_sent), SIZE);
	check((struct counted){ .messages = 1, .verified = 1, .bytes = SIZE });
}
