/* SPDX-License-Identifier: MIT */
#include "supervisor/watchdog.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "helper.h"

static struct conf conf = { .workers = 2, .buffer_size = 4096 };
static struct reactor reactor;
static struct watchdog watchdog;
static int manager; /* what is told arrives there, and the log at stderr */

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

/* A reactor whose threads do not run, so none answers, under a manager with a watchdog. */
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

TestSuite(watchdog, .init = begin, .fini = end, .timeout = HELPER_TIMEOUT);

/* The next thing that was told, or "". */
static const char *told(void)
{
	static char text[256];
	ssize_t n = recv(manager, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void beat(void)
{
	watchdog.next = 0;
	watchdog_beat(&watchdog, &reactor);
}

/* All threads go round once, with nothing to do. */
static void answer(void)
{
	struct epoll_event events[4];

	loop_wait(&reactor.acceptor.loop, events, 4, 0);
	for (unsigned i = 0; i < reactor.n_workers; i++)
		loop_wait(&reactor.workers[i].loop, events, 4, 0);
}

/* The watchdog is fed four times in the time that it allows, and not before it is due. */
TEST(watchdog, interval)
{
	watchdog_start(&watchdog, &reactor);
	cr_assert(watchdog.fed);
	cr_assert_eq(watchdog.interval, 1000);
	for (int i = 0; i < 2; i++) {
		cr_assert_leq(watchdog.next, clock_ms() + 1000);
		answer();
		beat();
		cr_assert_gt(watchdog.next, 0);
		while (*told())
			;
	}
	watchdog.next = INT64_MAX;
	watchdog_beat(&watchdog, &reactor);
	cr_assert_str_eq(told(), "");
}

/* Without a watchdog the status is looked at; without a manager nothing is. */
TEST(watchdog, without_a_watchdog)
{
	unsetenv("WATCHDOG_USEC");
	watchdog_start(&watchdog, &reactor);
	cr_assert_not(watchdog.fed);
	cr_assert_gt(watchdog.interval, 0);
	beat();
	cr_assert_eq(strstr(told(), "WATCHDOG"), NULL);
	unsetenv("NOTIFY_SOCKET");
	watchdog_start(&watchdog, &reactor);
	cr_assert_eq(watchdog.next, INT64_MAX);
}

/* Each thread is asked anew after each feeding: one that answered once proves nothing. */
TEST(watchdog, asks_again)
{
	watchdog_start(&watchdog, &reactor);
	watchdog.told = INT64_MAX; /* no status in between */
	for (int i = 0; i < 3; i++) {
		beat();
		cr_assert_str_eq(told(), "", "fed though none answered");
		answer();
		beat();
		cr_assert_str_eq(told(), "WATCHDOG=1");
	}
}

/* Each thread that is stuck is named, and once until all have answered. */
TEST(watchdog, complains_once)
{
	const char *expected = "echod: error: watchdog: acceptor does not answer\n"
			       "echod: error: watchdog: worker/0 does not answer\n"
			       "echod: error: watchdog: worker/1 does not answer\n";

	watchdog_start(&watchdog, &reactor);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 3; i++)
			beat();
		cr_assert_str_eq(helper_caught(), expected);
		answer();
		beat();
	}
}

/* The status is told when it has changed, and not more often than each five seconds. */
TEST(watchdog, status)
{
	unsetenv("WATCHDOG_USEC");
	watchdog_start(&watchdog, &reactor);
	cr_assert_str_eq(watchdog_status(&watchdog, &reactor, NULL), "Connections: 0, refused: 0");
	watchdog.told -= 5000;
	beat();
	cr_assert_str_eq(told(), "", "nothing has changed");
	counter_increment(&reactor.acceptor.refused[REFUSED_RESOURCES]);
	counter_add(&reactor.workers[1].accepted, 3);
	beat();
	cr_assert_str_eq(told(), "STATUS=Connections: 3, refused: 1");
	counter_increment(&reactor.acceptor.refused[REFUSED_MAX_CONNECTIONS]);
	watchdog.told += 1000000; /* it was told just now, however slow this machine is */
	beat();
	cr_assert_str_eq(told(), "", "too soon");
	watchdog.told -= 1000000 + 5000;
	beat();
	cr_assert_str_eq(told(), "STATUS=Connections: 3, refused: 2");
}
