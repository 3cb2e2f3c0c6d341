/* SPDX-License-Identifier: MIT */
#include "reactor/reactor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "helper.h"

static struct reactor reactor;
static struct acceptor *const acceptor = &reactor.acceptor;
static struct worker *worker;

static int error_of_accept; /* of the next accept4(2) */

int __real_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	if (error_of_accept == 0)
		return __real_accept4(fd, address, size, flags);
	errno = error_of_accept;
	error_of_accept = 0;
	return -1;
}

/* An acceptor with one worker, none of which runs yet. */
static void begin(void)
{
	static const struct conf conf = { .workers = 1, .buffer_size = 4096 };

	cr_assert_eq(reactor_init(&reactor, &conf, 1024, false), 0);
	worker = reactor.shared.workers;
}

static void end(void)
{
	reactor_deinit(&reactor);
}

/* A new listener as the only one of a set, with one client in its queue. */
static int open_with_client(struct acceptor_set *set)
{
	struct address bound;
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*set = (struct acceptor_set){ .fds = { helper_listen(&bound, 16) }, .n = 1 };
	cr_assert_eq(fcntl(set->fds[0], F_SETFL, O_NONBLOCK), 0);
	cr_assert_eq(connect(client, &bound.any, bound.size), 0);
	return client;
}

/* The next event of the worker's epoll instance is that of a new connection. */
static void check_dispatched(void)
{
	struct epoll_event event;
	struct connection *c;

	cr_assert_eq(epoll_wait(worker->loop.poller.epoll_fd, &event, 1, 10000), 1);
	cr_assert(event.events & EPOLLOUT);
	c = connections_at(&reactor.shared.connections, (uint32_t)event.data.fd);
	cr_assert_neq(atomic_load(&c->owner), 0);
	atomic_store(&c->owner, 0);
	close(event.data.fd);
}

static void stop(void)
{
	loop_command(&acceptor->loop, DRAIN);
	loop_join(&acceptor->loop);
}

/* A client in a queue is dispatched although the stop comes before the acceptor has run. */
Test(acceptor, stop_right_after_listen)
{
	for (int i = 0; i < 300; i++) {
		struct acceptor_set set;
		int client;

		begin();
		client = open_with_client(&set);
		cr_assert_eq(loop_start(&acceptor->loop), 0);
		acceptor_listen(acceptor, &set);
		stop();
		check_dispatched();
		cr_assert_lt(fcntl(set.fds[0], F_GETFD), 0, "the listener is still open");
		close(client);
		end();
	}
}

/* Waits for main's eventfd, and takes note of it. */
static void hear(void)
{
	eventfd_t ignored;

	helper_wait(reactor.shared.main_fd, POLLIN);
	(void)eventfd_read(reactor.shared.main_fd, &ignored);
}

static void settle(void)
{
	while (acceptor->pending)
		hear();
}

/* The same for a listener that a second set removes at once. */
Test(acceptor, listener_that_is_replaced_at_once)
{
	static const struct acceptor_set nothing;

	begin();
	cr_assert_eq(loop_start(&acceptor->loop), 0);
	for (int i = 0; i < 300; i++) {
		struct acceptor_set set;
		int client = open_with_client(&set);

		settle();
		acceptor_listen(acceptor, &set);
		settle();
		acceptor_listen(acceptor, &nothing);
		check_dispatched();
		close(client);
	}
	stop();
	end();
}

/*
 * An error of one connection is none of those behind it: no pause, no line in the log.
 * Want of something that all listeners need is a reason to pause, and to try again.
 */
Test(acceptor, errors_of_one_connection)
{
	static const struct {
		int error;
		unsigned pauses;
	} rows[] = { { ECONNABORTED, 0 }, { EINTR, 0 },	      { EPROTO, 0 },	{ ENOPROTOOPT, 0 },
		     { ENETDOWN, 0 },	  { ENETUNREACH, 0 }, { EHOSTDOWN, 0 }, { EHOSTUNREACH, 0 },
		     { ENONET, 0 },	  { ETIMEDOUT, 0 },   { EMFILE, 1 },	{ ENFILE, 1 },
		     { ENOBUFS, 1 },	  { ENOMEM, 1 } };

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct acceptor_set set;
		int client;

		begin();
		client = open_with_client(&set);
		error_of_accept = rows[i].error;
		cr_assert_eq(loop_start(&acceptor->loop), 0);
		acceptor_listen(acceptor, &set);
		check_dispatched();
		stop();
		cr_assert_eq(counter_get(&acceptor->pauses), rows[i].pauses, "%s",
			     strerror(rows[i].error));
		close(client);
		end();
	}
}

/* Any other is the listener's: main is notified, and it is not watched until main says so. */
Test(acceptor, errors_of_one_listener)
{
	static const int errors[] = { EINVAL, EPERM, EACCES, EOPNOTSUPP, EBADF };

	for (size_t i = 0; i < COUNT(errors); i++) {
		struct acceptor_set set;
		int client, failed;

		begin();
		client = open_with_client(&set);
		error_of_accept = errors[i];
		cr_assert_eq(loop_start(&acceptor->loop), 0);
		acceptor_listen(acceptor, &set);
		helper_wait(reactor.shared.failed_fd, POLLIN);
		cr_assert_eq(acceptor_failure(acceptor, &failed), errors[i]);
		cr_assert_eq(failed, set.fds[0]);
		cr_assert_eq(acceptor_failure(acceptor, &failed), 0);
		cr_assert_eq(counter_get(&acceptor->pauses), 0);
		cr_assert_eq(counter_get(&worker->accepted), 0);
		acceptor_listen(acceptor, &set);
		check_dispatched();
		stop();
		close(client);
		end();
	}
}

/* What epoll does not take stays the acceptor's: no worker owns it, and it does not count. */
Test(acceptor, adoption_that_fails)
{
	int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct connection *c;

	begin();
	c = connections_at(&reactor.shared.connections, (uint32_t)file);
	cr_assert_eq(worker_adopt(worker, file), -EPERM);
	cr_assert_eq(atomic_load(&c->owner), 0);
	cr_assert_eq(counter_get(&worker->accepted), 0);
	cr_assert_eq(worker_open(worker), 0);
	close(file);
	end();
}

/* A client that comes now is reset, counted and forgotten. */
static void check_refused(void)
{
	struct acceptor_set set;
	int client = open_with_client(&set);
	char byte;

	cr_assert_eq(loop_start(&acceptor->loop), 0);
	acceptor_listen(acceptor, &set);
	helper_wait(client, POLLIN);
	cr_assert_lt(recv(client, &byte, 1, 0), 0);
	cr_assert_eq(errno, ECONNRESET);
	cr_assert_eq(counter_get(&acceptor->refused[REFUSED_RESOURCES]), 1);
	stop();
	cr_assert_eq(atomic_load(&reactor.shared.limiter.open), 0);
	close(client);
}

/* There is a descriptor, but no record for it. */
Test(acceptor, descriptor_beyond_the_table)
{
	uint32_t size;

	begin();
	size = reactor.shared.connections.size;
	reactor.shared.connections.size = 3;
	check_refused();
	reactor.shared.connections.size = size;
	end();
}

/* The worker's epoll instance takes no more. */
Test(acceptor, hand_off_that_fails)
{
	begin();
	poller_unwatch_all(&worker->loop.poller);
	check_refused();
	end();
}
