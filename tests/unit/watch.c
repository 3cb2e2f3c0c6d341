/* SPDX-License-Identifier: MIT */
#include "../../src/supervisor/watch.c"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "helper.h"

static struct conf conf = { .workers = 2, .buffer_size = 4096 };
static struct reactor reactor;
static struct watch watch;
static int manager; /* receives the notifications; the log goes to stderr */

static int open_manager(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t size = sizeof(sa_family_t);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	char name[16] = "@";

	/* A name of the kernel's choice, in the abstract space, where nothing is left behind. */
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, size), 0);
	size = sizeof(address);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	memcpy(name + 1, address.sun_path + 1, size - sizeof(sa_family_t) - 1);
	cr_assert_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

/* A reactor whose threads do not run, so none answers, under a manager with a watch. */
static void begin(void)
{
	unsetenv("JOURNAL_STREAM");
	unsetenv("WATCHDOG_PID");
	cr_assert_eq(setenv("WATCHDOG_USEC", "4000000", 1), 0);
	helper_catch(STDERR_FILENO);
	manager = open_manager();
	cr_assert_eq(reactor_init(&reactor, &conf, 64, false), 0);
}

static void end(void)
{
	reactor_deinit(&reactor);
	close(manager);
}

TestSuite(watch, .init = begin, .fini = end, .timeout = HELPER_TIMEOUT);

/* The next notification, or "". */
static const char *told(void)
{
	static char text[256];
	ssize_t n = recv(manager, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void beat_now(void)
{
	watch.next = 0;
	beat(&watch);
}

/* All threads go round once, with nothing to do. */
static void answer(void)
{
	struct epoll_event events[4];

	loop_wait(&reactor.acceptor.loop, events, 4, 0);
	for (unsigned i = 0; i < reactor.shared.n_workers; i++)
		loop_wait(&reactor.shared.workers[i].loop, events, 4, 0);
}

/* The watchdog is fed four times in the time that it allows, and not before it is due. */
TEST(watch, interval)
{
	watch_start(&watch, &reactor, -1);
	cr_assert(watch.fed);
	cr_assert_eq(watch.interval, 1000);
	for (int i = 0; i < 2; i++) {
		cr_assert_leq(watch.next, clock_ms() + 1000);
		answer();
		beat_now();
		cr_assert_gt(watch.next, 0);
		while (*told())
			;
	}
	watch.next = INT64_MAX;
	beat(&watch);
	cr_assert_str_eq(told(), "");
}

/* Without a watchdog the status is looked at; without a manager nothing is. */
TEST(watch, without_a_watchdog)
{
	unsetenv("WATCHDOG_USEC");
	watch_start(&watch, &reactor, -1);
	cr_assert_not(watch.fed);
	cr_assert_gt(watch.interval, 0);
	beat_now();
	cr_assert_eq(strstr(told(), "WATCHDOG"), NULL);
	unsetenv("NOTIFY_SOCKET");
	watch_start(&watch, &reactor, -1);
	cr_assert_eq(watch.next, INT64_MAX);
}

/* Each thread is asked anew after each feeding: one that answered once proves nothing. */
TEST(watch, asks_again)
{
	watch_start(&watch, &reactor, -1);
	watch.told = INT64_MAX; /* no status in between */
	for (int i = 0; i < 3; i++) {
		beat_now();
		cr_assert_str_eq(told(), "", "fed though none answered");
		answer();
		beat_now();
		cr_assert_str_eq(told(), "WATCHDOG=1");
	}
}

/* Each thread that is stuck is named, and once until all have answered. */
TEST(watch, complains_once)
{
	const char *expected = "echod: error: watchdog: acceptor does not answer\n"
			       "echod: error: watchdog: worker/0 does not answer\n"
			       "echod: error: watchdog: worker/1 does not answer\n";

	watch_start(&watch, &reactor, -1);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 3; i++)
			beat_now();
		cr_assert_str_eq(helper_caught(), expected);
		answer();
		beat_now();
	}
}

/* The status is sent when it has changed, and not more often than each five seconds. */
TEST(watch, status)
{
	unsetenv("WATCHDOG_USEC");
	watch_start(&watch, &reactor, -1);
	cr_assert_str_eq(watch_status(&watch, NULL), "Connections: 0, refused: 0");
	watch.told -= 5000;
	beat_now();
	cr_assert_str_eq(told(), "", "nothing has changed");
	counter_increment(&reactor.acceptor.refused[REFUSED_RESOURCES]);
	counter_add(&reactor.shared.workers[1].accepted, 3);
	beat_now();
	cr_assert_str_eq(told(), "STATUS=Connections: 3, refused: 1");
	counter_increment(&reactor.acceptor.refused[REFUSED_MAX_CONNECTIONS]);
	watch.told += 1000000; /* it was sent just now, however slow this machine is */
	beat_now();
	cr_assert_str_eq(told(), "", "too soon");
	watch.told -= 1000000 + 5000;
	beat_now();
	cr_assert_str_eq(told(), "STATUS=Connections: 3, refused: 2");
}
