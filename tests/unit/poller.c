/* SPDX-License-Identifier: MIT */
#include "base/poller.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
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

static void make_pair(int fds[2])
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

/* A fresh poller has nothing to say, and a wait without patience returns. */
TEST(poller, timeout)
{
	check_silence();
	struct epoll_event event;

	cr_assert_eq(poller_wait(&poller, &event, 1, 1), 0);
}

/* Both descriptors are closed by execve(2), and the wake-up blocks nobody. */
TEST(poller, descriptor_flags)
{
	cr_assert(fcntl(poller.epoll_fd, F_GETFD) & FD_CLOEXEC);
	cr_assert(fcntl(poller.wake_fd, F_GETFD) & FD_CLOEXEC);
	cr_assert(fcntl(poller.wake_fd, F_GETFL) & O_NONBLOCK);
}

/* A wake-up is an event, known as such once, and then gone. */
TEST(poller, wake)
{
	struct epoll_event event;

	poller_wake(&poller);
	event = wait_for_one();
	cr_assert(event.events & EPOLLIN);
	cr_assert(poller_is_wake(&poller, &event));
	check_silence();
}

/* Until it is taken note of it stays, so that none is lost. */
TEST(poller, wake_stays)
{
	struct epoll_event event;

	poller_wake(&poller);
	wait_for_one();
	event = wait_for_one();
	cr_assert(poller_is_wake(&poller, &event));
	check_silence();
}

/* Many wake-ups before the wait are one, and one after it is another. */
TEST(poller, wakes_add_up)
{
	struct epoll_event event;

	for (int i = 0; i < 1000; i++)
		poller_wake(&poller);
	event = wait_for_one();
	poller_wake(&poller);
	cr_assert(poller_is_wake(&poller, &event));
	check_silence();
	poller_wake(&poller);
	event = wait_for_one();
	cr_assert(poller_is_wake(&poller, &event));
	check_silence();
}

/* To ask again, when nothing has woken it, does not block. */
TEST(poller, is_wake_does_not_block)
{
	struct epoll_event event;

	poller_wake(&poller);
	event = wait_for_one();
	cr_assert(poller_is_wake(&poller, &event));
	cr_assert(poller_is_wake(&poller, &event));
	check_silence();
}

/* The event of an added descriptor carries it, and is no wake-up. */
TEST(poller, add)
{
	struct epoll_event event;
	int fds[2];

	make_pair(fds);
	cr_assert_eq(poller_add(&poller, fds[0], EPOLLIN | EPOLLRDHUP), 0);
	check_silence();
	cr_assert_eq(write(fds[1], "x", 1), 1);
	event = wait_for_one();
	cr_assert_eq(event.data.fd, fds[0]);
	cr_assert_eq(event.events, EPOLLIN);
	cr_assert_not(poller_is_wake(&poller, &event));
	close(fds[1]);
	event = wait_for_one();
	cr_assert_eq(event.events, EPOLLIN | EPOLLRDHUP | EPOLLHUP);
	close(fds[0]);
}

/* A fresh socket is writable: an edge-triggered ADD makes one event, and only one. */
TEST(poller, add_edge_triggered)
{
	struct epoll_event event;
	int fds[2];

	make_pair(fds);
	cr_assert_eq(poller_add(&poller, fds[0], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET), 0);
	event = wait_for_one();
	cr_assert_eq(event.data.fd, fds[0]);
	cr_assert_eq(event.events, EPOLLOUT);
	check_silence();
	cr_assert_eq(write(fds[1], "x", 1), 1);
	event = wait_for_one();
	cr_assert_eq(event.events, EPOLLIN | EPOLLOUT);
	check_silence();
	close(fds[0]);
	close(fds[1]);
}

/* What epoll_ctl(2) does not accept is an error, and watched by nobody. */
TEST(poller, add_errors)
{
	int file = helper_memory_file("", 0), fds[2];

	make_pair(fds);
	cr_assert_eq(poller_add(&poller, file, EPOLLIN), -EPERM);
	cr_assert_eq(poller_add(&poller, -1, EPOLLIN), -EBADF);
	cr_assert_eq(poller_add(&poller, poller.epoll_fd, EPOLLIN), -EINVAL);
	cr_assert_eq(poller_add(&poller, fds[0], EPOLLIN), 0);
	cr_assert_eq(poller_add(&poller, fds[0], EPOLLIN), -EEXIST);
	check_silence();
	close(file);
	close(fds[0]);
	close(fds[1]);
}

/* What is closed is watched no more. */
TEST(poller, close_removes)
{
	int fds[2];

	make_pair(fds);
	cr_assert_eq(poller_add(&poller, fds[0], EPOLLOUT), 0);
	wait_for_one();
	close(fds[0]);
	check_silence();
	close(fds[1]);
}

/* A batch is as large as asked for, and the next has the rest. */
TEST(poller, batches)
{
	struct epoll_event events[4];
	int fds[6], seen = 0;

	for (int i = 0; i < 6; i += 2) {
		make_pair(fds + i);
		cr_assert_eq(poller_add(&poller, fds[i], EPOLLOUT | EPOLLET), 0);
	}
	cr_assert_eq(poller_wait(&poller, events, 2, FOREVER), 2);
	cr_assert_eq(poller_wait(&poller, events + 2, 2, FOREVER), 1);
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 6; k += 2)
			if (events[i].data.fd == fds[k])
				seen |= 1 << k;
	cr_assert_eq(seen, 1 << 0 | 1 << 2 | 1 << 4);
	for (int i = 0; i < 6; i++)
		close(fds[i]);
}

static void *wake_from_thread(void *p)
{
	poller_wake(p);
	return NULL;
}

/* Another thread ends a wait that has no end of its own. */
TEST(poller, wake_by_another_thread)
{
	struct epoll_event event;
	pthread_t thread;

	for (int i = 0; i < 1000; i++) {
		cr_assert_eq(pthread_create(&thread, NULL, wake_from_thread, &poller), 0);
		event = wait_for_one();
		cr_assert(poller_is_wake(&poller, &event));
		pthread_join(thread, NULL);
		check_silence();
	}
}

static int added[2];

static void *add_from_thread(void *p)
{
	static int r;

	r = poller_add(p, added[0], EPOLLOUT | EPOLLET);
	return &r;
}

/* What another thread adds ends the wait too: that is how sockets are handed over. */
TEST(poller, add_by_another_thread)
{
	pthread_t thread;
	void *r;

	for (int i = 0; i < 1000; i++) {
		make_pair(added);
		cr_assert_eq(pthread_create(&thread, NULL, add_from_thread, &poller), 0);
		cr_assert_eq(wait_for_one().data.fd, added[0]);
		pthread_join(thread, &r);
		cr_assert_eq(*(int *)r, 0);
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

/* Nothing stays open after the end, which may come twice, or in the middle of events. */
TEST(poller, deinit)
{
	unsigned before = helper_count_descriptors();
	struct poller another;

	cr_assert_eq(poller_init(&another, "another", false), 0);
	cr_assert_eq(helper_count_descriptors(), before + 2);
	poller_wake(&another);
	poller_deinit(&another);
	cr_assert_eq(helper_count_descriptors(), before);
	poller_deinit(&another);
	cr_assert_eq(helper_count_descriptors(), before);
}

/* The second time is harmless also if the numbers have been used again. */
TEST(poller, deinit_twice_spares_others)
{
	int fds[2];

	poller_deinit(&poller);
	make_pair(fds);
	poller_deinit(&poller);
	cr_assert_geq(fcntl(fds[0], F_GETFD), 0);
	cr_assert_geq(fcntl(fds[1], F_GETFD), 0);
	close(fds[0]);
	close(fds[1]);
}

/* Lets so many more descriptors be opened, after some that fill the holes. */
static void limit_descriptors(unsigned more)
{
	struct rlimit limit;
	int last = 0;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int i = 0; i < 100; i++)
		last = dup(0);
	cr_assert_geq(last, 100);
	limit.rlim_cur = (rlim_t)last + 1 + more;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Without descriptors for both there is an error, and nothing is left open. */
TEST(poller, no_descriptors)
{
	struct poller another;
	int probe;

	for (unsigned more = 0; more < 2; more++) {
		limit_descriptors(more);
		cr_assert_eq(poller_init(&another, "another", false), -EMFILE);
		probe = dup(0);
		cr_assert_eq(probe < 0, more == 0, "a descriptor is lost");
		close(probe);
	}
	limit_descriptors(2);
	cr_assert_eq(poller_init(&another, "another", false), 0);
	poller_deinit(&another);
	limit_descriptors(100);
}

/* With the trace on, each batch is shown, and a wait that ends without one is not. */
TEST(poller, trace)
{
	int out = helper_memory_file("", 0);
	struct epoll_event event;
	char text[128];
	ssize_t n;

	cr_assert_eq(dup2(out, STDOUT_FILENO), STDOUT_FILENO);
	poller.trace = true;
	check_silence();
	poller_wake(&poller);
	event = wait_for_one();
	cr_assert(poller_is_wake(&poller, &event));
	check_silence();
	n = pread(out, text, sizeof(text) - 1, 0);
	cr_assert_geq(n, 0);
	text[n] = '\0';
	cr_assert_str_eq(text, "test: 1 event: wake-up\n");
}
