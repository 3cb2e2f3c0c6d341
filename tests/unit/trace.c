/* SPDX-License-Identifier: MIT */
#include "base/trace.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "helper.h"

#define WAKE 5

TestSuite(trace, .timeout = HELPER_TIMEOUT);

/* Puts a file in the place of stdout.  Returns it. */
static int catch_stdout(void)
{
	int fd = helper_memory_file("", 0);

	cr_assert_eq(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
	return fd;
}

/* The bytes that are in the file, so those that were flushed. */
static void check(int fd, const char *expected)
{
	static char text[65536];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	cr_assert_geq(n, 0);
	text[n] = '\0';
	cr_assert_str_eq(text, expected, "got: %s", text);
}

/* The example in the header. */
TEST(trace, two_connections)
{
	const struct epoll_event events[] = {
		{ .events = EPOLLIN | EPOLLOUT, .data.fd = 8 },
		{ .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP, .data.fd = 9 },
	};
	int out = catch_stdout();

	trace_batch("worker/0", WAKE, events, 2);
	check(out, "worker/0: 2 events: 8 EPOLLIN|EPOLLOUT, 9 EPOLLIN|EPOLLOUT|EPOLLRDHUP\n");
}

/* One event is no plural, and the line is there at once, for whoever watches. */
TEST(trace, one_event)
{
	const struct epoll_event event = { .events = EPOLLIN, .data.fd = 6 };
	int out = catch_stdout();

	trace_batch("acceptor", WAKE, &event, 1);
	check(out, "acceptor: 1 event: 6 EPOLLIN\n");
}

/* A wake-up is shown as such, wherever it stands in the batch. */
TEST(trace, wake_up)
{
	const struct epoll_event events[] = {
		{ .events = EPOLLOUT, .data.fd = 4 },
		{ .events = EPOLLIN, .data.fd = WAKE },
		{ .events = EPOLLHUP | EPOLLERR, .data.fd = 6 },
	};
	int out = catch_stdout();

	trace_batch("worker/1", WAKE, events + 1, 1);
	trace_batch("worker/1", WAKE, events, 3);
	check(out, "worker/1: 1 event: wake-up\n"
		   "worker/1: 3 events: 4 EPOLLOUT, wake-up, 6 EPOLLHUP|EPOLLERR\n");
}

/* Every event that can come has its name, and no event has none. */
TEST(trace, all_names)
{
	const struct epoll_event events[] = {
		{ .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI,
		  .data.fd = 1048575 },
		{ .events = 0, .data.fd = 7 },
	};
	int out = catch_stdout();

	trace_batch("worker/255", WAKE, events, 2);
	check(out, "worker/255: 2 events: "
		   "1048575 EPOLLIN|EPOLLOUT|EPOLLRDHUP|EPOLLHUP|EPOLLERR|EPOLLPRI, 7\n");
}

/* Also a batch without events is a line. */
TEST(trace, empty_batch)
{
	int out = catch_stdout();

	trace_batch("worker/0", WAKE, NULL, 0);
	check(out, "worker/0: 0 events:\n");
}

/* A batch of the size that workers ask for is one line, nothing missing. */
TEST(trace, large_batch)
{
	struct epoll_event events[512];
	static char expected[65536];
	size_t n = (size_t)sprintf(expected, "worker/0: 512 events: ");
	int out = catch_stdout();

	for (int i = 0; i < 512; i++) {
		events[i] = (struct epoll_event){ .events = EPOLLIN, .data.fd = 1000 + i };
		n += (size_t)sprintf(expected + n, "%s%d EPOLLIN", i ? ", " : "", 1000 + i);
	}
	strcpy(expected + n, "\n");
	trace_batch("worker/0", WAKE, events, 512);
	check(out, expected);
}

#define LINES 500

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
	static char names[4][8] = { "a", "bb", "ccc", "dddd" }, line[256], expected[256];
	FILE *in = fdopen(catch_stdout(), "r");
	int seen[4] = { 0 };
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, trace_many, names[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	rewind(in);
	while (fgets(line, sizeof(line), in)) {
		size_t length = strcspn(line, ":");

		cr_assert(length >= 1 && length <= 4, "%s", line);
		snprintf(expected, sizeof(expected), "%s: 2 events: 8 EPOLLIN, 9 EPOLLOUT\n",
			 names[length - 1]);
		cr_assert_str_eq(line, expected);
		seen[length - 1]++;
	}
	for (int i = 0; i < 4; i++)
		cr_expect_eq(seen[i], LINES, "%d lines of %s", seen[i], names[i]);
	fclose(in);
}
