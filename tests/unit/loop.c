/* SPDX-License-Identifier: MIT */
/*
 * What the threads of the reactor have in common: commands, heartbeats, the end.
 */
#include "reactor/loop.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "helper.h"

static struct loop loop;
static int main_fd;
static _Atomic int rounds;

static void count_rounds(void *arg);

static void begin(void)
{
	main_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	cr_assert_geq(main_fd, 0);
	cr_assert_eq(loop_init(&loop, "test", main_fd, false, count_rounds, &loop), 0);
}

static void end(void)
{
	loop_join(&loop);
	poller_deinit(&loop.poller);
	close(main_fd);
}

TestSuite(loop, .init = begin, .fini = end, .timeout = HELPER_TIMEOUT);

/* Waits for a wake-up and takes it. */
static void wait_for_wake(void)
{
	struct epoll_event event;

	cr_assert_eq(loop_wait(&loop, &event, 1, -1), 1);
	cr_assert(poller_is_wake(&loop.poller, &event));
}

static void check_silence(void)
{
	struct epoll_event event;

	cr_assert_eq(loop_wait(&loop, &event, 1, 0), 0);
}

/* One heartbeat, by coming to wait, answers all questions before it, and none after it. */
TEST(loop, heartbeat)
{
	cr_assert_eq(loop.asked, 0);
	check_silence();
	for (int i = 1; i <= 3; i++) {
		for (int k = 0; k < i; k++)
			loop_ask(&loop);
		cr_assert_gt(loop.asked, 0);
		wait_for_wake();
		cr_assert_eq(loop.asked, 0);
		check_silence();
	}
}

/* A command wakes the thread, and holds until another replaces it; the same again is none. */
TEST(loop, command)
{
	cr_assert_eq(loop.command, RUN);
	loop_command(&loop, DRAIN);
	wait_for_wake();
	cr_assert_eq(loop.command, DRAIN);
	loop_command(&loop, DRAIN);
	check_silence();
	loop_command(&loop, ABORT);
	wait_for_wake();
	cr_assert_eq(loop.command, ABORT);
}

static void count_rounds(void *arg)
{
	struct loop *l = arg;
	char name[16];

	cr_assert_eq(pthread_getname_np(pthread_self(), name, sizeof(name)), 0);
	cr_assert_str_eq(name, "test");
	while (l->command == RUN) {
		wait_for_wake();
		rounds++;
	}
}

/* A thread that sleeps answers, obeys, and says when it has ended. */
TEST(loop, life)
{
	eventfd_t ignored;

	cr_assert_not(loop_is_running(&loop));
	cr_assert_eq(loop_start(&loop), 0);
	cr_assert(loop_is_running(&loop));
	loop_ask(&loop);
	while (loop.asked || rounds == 0)
		usleep(1000);
	cr_assert_lt(eventfd_read(main_fd, &ignored), 0, "it has ended, or has news");
	loop_command(&loop, FREEZE);
	helper_wait(main_fd, POLLIN);
	cr_assert(loop.ended);
	cr_assert_not(loop_is_running(&loop));
	loop_join(&loop);
	loop_join(&loop);
}
