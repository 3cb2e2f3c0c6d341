/* SPDX-License-Identifier: MIT */
#include "base/poller.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "helper.h"

#define FOREVER (-1)

static struct poller poller;

static void begin(void)
{
	cr_assert_eq(poller_init(&poller, "test", false), 0);
}

static void end(void)
{
	poller_deinit(&poller);
}

TestSuite(poller, .init = begin, .fini = end, .timeout = HELPER_TIMEOUT);

/* Waits for events that must be exactly one. */
static struct epoll_event wait_for_one(void)
{
	struct epoll_event events[4];

	cr_assert_eq(poller_wait(&poller, events, 4, FOREVER), 1);
	return events[0];
}

static void check_silence(void)
{
	struct epoll_event event;

	cr_assert_eq(poller_wait(&poller, &event, 1, 0), 0);
}

static void check_wake(void)
{
	struct epoll_event event = wait_for_one();

	cr_assert(event.events & EPOLLIN);
	cr_assert(poller_is_wake(&poller, &event));
	cr_assert(poller_is_wake(&poller, &event), "to ask again does not block");
	check_silence();
}

/* Wake-ups before a wait are one, which stays until it is taken note of; one after it is another.
 */
TEST(poller, wake)
{
	cr_assert(fcntl(poller.epoll_fd, F_GETFD) & fcntl(poller.wake_fd, F_GETFD) & FD_CLOEXEC);
	check_silence();
	for (int i = 0; i < 1000; i++)
		poller_wake(&poller);
	wait_for_one();
	check_wake();
	poller_wake(&poller);
	check_wake();
}

/* The event of an added descriptor carries it, is no wake-up, and is an edge if that was asked for.
 */
TEST(poller, add)
{
	struct epoll_event event;
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	cr_assert_eq(poller_add(&poller, fds[0], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET), 0);
	event = wait_for_one();
	cr_assert(event.data.fd == fds[0] && event.events == EPOLLOUT);
	cr_assert_not(poller_is_wake(&poller, &event));
	check_silence();
	close(fds[1]);
	cr_assert_eq(wait_for_one().events, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
	check_silence();
	cr_assert_eq(poller_add(&poller, fds[0], EPOLLIN), -EEXIST);
	cr_assert_eq(poller_add(&poller, -1, EPOLLIN), -EBADF);
	close(fds[0]);
}

static int added[2];

static void *add_from_thread(void *p)
{
	cr_assert_eq(poller_add(p, added[0], EPOLLOUT | EPOLLET), 0);
	poller_wake(p);
	return NULL;
}

/* What another thread adds ends a wait without end: that is how sockets are dispatched. */
TEST(poller, other_threads)
{
	pthread_t thread;

	for (int i = 0; i < 1000; i++) {
		struct epoll_event event;

		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, added), 0);
		cr_assert_eq(pthread_create(&thread, NULL, add_from_thread, &poller), 0);
		cr_assert_eq(poller_wait(&poller, &event, 1, FOREVER), 1);
		if (poller_is_wake(&poller, &event))
			cr_assert_eq(wait_for_one().data.fd, added[0]);
		else
			check_wake();
		pthread_join(thread, NULL);
		close(added[0]);
		close(added[1]);
	}
}

static volatile sig_atomic_t signals;

static void count_signal(int signal)
{
	(void)signal;
	signals++;
}

/* A signal ends a wait without events; the caller waits again if it wants. */
TEST(poller, interruption)
{
	struct sigaction action = { .sa_handler = count_signal, .sa_flags = SA_RESTART };
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } };
	struct epoll_event event;

	cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
	cr_assert_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
	for (int i = 0; i < 10; i++)
		cr_assert_eq(poller_wait(&poller, &event, 1, FOREVER), 0);
	cr_assert_geq(signals, 10);
}

/* Nothing stays open after the end, which may come twice, also if the numbers are used again. */
TEST(poller, deinit)
{
	unsigned before = helper_count_descriptors();
	int fds[2];

	poller_wake(&poller);
	poller_deinit(&poller);
	cr_assert_eq(helper_count_descriptors(), before - 2);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	poller_deinit(&poller);
	cr_assert_eq(helper_count_descriptors(), before);
	close(fds[0]);
	close(fds[1]);
}

/* With the trace on, each batch is shown, and a wait that ends without one is not. */
TEST(poller, trace)
{
	helper_catch(STDOUT_FILENO);
	poller.trace = true;
	check_silence();
	poller_wake(&poller);
	check_wake();
	cr_assert_str_eq(helper_caught(), "test: 1 event: wake-up\n");
}
