/* SPDX-License-Identifier: MIT */
#include "base/trace.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "helper.h"

#define WAKE 5

static void begin(void)
{
	helper_catch(STDOUT_FILENO);
}

TestSuite(trace, .init = begin, .timeout = HELPER_TIMEOUT);

/* Each event has its name, a wake-up wherever it stands; one is no plural, and none is a line too.
 */
TEST(trace, lines)
{
	static const struct {
		int n;
		struct epoll_event events[3];
		const char *expected;
	} batches[] = {
		{ 2, /* the example in the header */
		  { { .events = EPOLLIN | EPOLLOUT, .data.fd = 8 },
		    { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP, .data.fd = 9 } },
		  "worker/0: 2 events: 8 EPOLLIN|EPOLLOUT, 9 EPOLLIN|EPOLLOUT|EPOLLRDHUP\n" },
		{ 1, { { .events = EPOLLIN, .data.fd = 6 } }, "worker/0: 1 event: 6 EPOLLIN\n" },
		{ 1, { { .events = EPOLLIN, .data.fd = WAKE } }, "worker/0: 1 event: wake-up\n" },
		{ 3,
		  { { .events = EPOLLOUT, .data.fd = 4 },
		    { .events = EPOLLIN, .data.fd = WAKE },
		    { .events = EPOLLHUP | EPOLLERR, .data.fd = 6 } },
		  "worker/0: 3 events: 4 EPOLLOUT, wake-up, 6 EPOLLHUP|EPOLLERR\n" },
		{ 2,
		  { { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI,
		      .data.fd = 1048575 },
		    { .events = 0, .data.fd = 7 } },
		  "worker/0: 2 events: "
		  "1048575 EPOLLIN|EPOLLOUT|EPOLLRDHUP|EPOLLHUP|EPOLLERR|EPOLLPRI, 7\n" },
		{ 0, { { 0 } }, "worker/0: 0 events:\n" },
	};

	for (size_t i = 0; i < COUNT(batches); i++) {
		trace_batch("worker/0", WAKE, batches[i].events, batches[i].n);
		cr_expect_str_eq(helper_caught(), batches[i].expected);
	}
}

/* A batch of the size that workers ask for is one line, nothing missing. */
TEST(trace, large_batch)
{
	struct epoll_event events[512];
	static char expected[65536];
	size_t n = (size_t)sprintf(expected, "worker/0: 512 events: ");

	for (int i = 0; i < 512; i++) {
		events[i] = (struct epoll_event){ .events = EPOLLIN, .data.fd = 1000 + i };
		n += (size_t)sprintf(expected + n, "%s%d EPOLLIN", i ? ", " : "", 1000 + i);
	}
	strcpy(expected + n, "\n");
	trace_batch("worker/0", WAKE, events, 512);
	cr_assert_str_eq(helper_caught(), expected);
}

#define THREADS 4
#define LINES 200

static void *trace_many(void *name)
{
	const struct epoll_event events[] = {
		{ .events = EPOLLIN, .data.fd = 8 },
		{ .events = EPOLLOUT, .data.fd = 9 },
	};

	for (int i = 0; i < LINES; i++)
		trace_batch(name, WAKE, events, 2);
	return NULL;
}

/* Lines of several threads stand one after another, none inside another. */
TEST(trace, threads_do_not_mix)
{
	static char names[THREADS][8] = { "a", "bb", "ccc", "dddd" };
	pthread_t threads[THREADS];
	int lines = 0;

	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, trace_many, names[i]), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (const char *line = helper_caught(); *line; line = strchr(line, '\n') + 1, lines++) {
		size_t length = strcspn(line, ":");

		cr_assert(length >= 1 && length <= THREADS, "%s", line);
		cr_assert_eq(strncmp(line, names[length - 1], length), 0, "%s", line);
		cr_assert_eq(strncmp(line + length, ": 2 events: 8 EPOLLIN, 9 EPOLLOUT\n", 34), 0,
			     "%s", line);
	}
	cr_assert_eq(lines, THREADS * LINES);
}
