/* SPDX-License-Identifier: MIT */
/*
 * A worker that runs; and one without its thread: events are the test's, and the
 * sockets are real.
 */
#include "../../src/reactor/worker.c"

#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper.h"

static struct shared shared;
static struct worker worker;
static int endless = -1; /* a descriptor on which there is always more, and always room */

ssize_t __real_recv(int fd, void *data, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t size, int flags);
ssize_t __real_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags);

ssize_t __wrap_recv(int fd, void *data, size_t size, int flags)
{
	return fd == endless ? (ssize_t)size : __real_recv(fd, data, size, flags);
}

ssize_t __wrap_send(int fd, const void *data, size_t size, int flags)
{
	return fd == endless ? (ssize_t)size : __real_send(fd, data, size, flags);
}

/* A worker, with no connections, whose thread does not run. */
static void begin(void)
{
	shared.buffer_size = 4096;
	shared.main_fd = eventfd(0, EFD_CLOEXEC);
	cr_assert_eq(sem_init(&shared.started, 0, 0), 0);
	cr_assert_eq(connections_init(&shared.connections, 1024), 0);
	cr_assert_eq(limiter_init(&shared.limiter, 1024), 0);
	cr_assert_eq(worker_init(&worker, &shared, 0), 0);
}

static void finish(void)
{
	close(shared.main_fd);
	worker_deinit(&worker);
	limiter_deinit(&shared.limiter);
	connections_deinit(&shared.connections);
}

/* And one whose thread does. */
static void begin_running(void)
{
	begin();
	shared.pending_memory = 1 << 20;
	cr_assert_eq(loop_start(&worker.loop), 0);
	sem_wait(&shared.started);
}

static void end_running(void)
{
	loop_command(&worker.loop, DRAIN);
	loop_command(&worker.loop, ABORT);
	loop_join(&worker.loop);
	finish();
}

TestSuite(worker, .init = begin_running, .fini = end_running, .timeout = HELPER_TIMEOUT);

/* A connection of the worker's.  Returns the client's end, the worker's in *ours. */
static int dispatch(int *ours)
{
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	*ours = fds[1];
	cr_assert_eq(worker_adopt(&worker, fds[1]), 0);
	return fds[0];
}

static void check_echoes(int client)
{
	char byte = 'x';

	cr_assert_eq(send(client, &byte, 1, 0), 1);
	helper_wait(client, POLLIN);
	cr_assert_eq(recv(client, &byte, 1, 0), 1);
	cr_assert_eq(byte, 'x');
}

/* Beside a client that never lets the worker come to EAGAIN, all others have their turns. */
TEST(worker, endless_stream)
{
	int ours, early = dispatch(&ours), stream = dispatch(&ours), late;

	check_echoes(early);
	check_echoes(stream);
	endless = ours;
	cr_assert_eq(send(stream, "x", 1, 0), 1); /* from now on it is ready for ever */
	while (counter_get(&worker.echoed) < 1000000)
		usleep(1000);
	check_echoes(early);
	late = dispatch(&ours);
	check_echoes(late);
	close(early);
	close(late);
	close(stream);
}

/*
 * Without its thread.
 */

#define FIRST 300 /* descriptors of connections, in the order in which they came */

static int n;

static void begin_still(void)
{
	begin();
	pipe_deinit(&worker.echo.pipe);
	worker.echo.budget = 4096;
	worker.members.now = clock_ms();
}

static void end_still(void)
{
	end_all(&worker, &worker.members.idle);
	end_all(&worker, &worker.members.stalled);
	finish();
}

TestSuite(turns, .init = begin_still, .fini = end_still, .timeout = HELPER_TIMEOUT);

static struct connection *record(int fd)
{
	return at(&worker, (uint32_t)fd);
}

static void happen(int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	collect(&worker, &event);
}

/* A connection over TCP.  Returns the client's end, ours in *fd. */
static int meet(int *fd)
{
	struct address address;
	int listener = helper_listen(&address, 1), accepted;
	int client = helper_connect(listener, 4096, &accepted);

	*fd = dup2(accepted, FIRST + n++);
	cr_assert_geq(*fd, FIRST);
	close(accepted);
	close(listener);
	shared.limiter.open++;
	happen(*fd, EPOLLOUT);
	return client;
}

static int wait_ms(void)
{
	return connections_wait(&worker.members, shared.idle_ms, shared.stall_ms);
}

/* What is overdue at once is ended by and by, and each time there is no waiting. */
TEST(turns, many_overdue)
{
	int clients_of[200], fd;

	for (int i = 0; i < 200; i++)
		clients_of[i] = meet(&fd);
	shared.idle_ms = 1;
	worker.members.settled = worker.members.now += 10;
	for (uint64_t ended = 64; ended < 200; ended += 64) {
		expire(&worker);
		cr_assert_eq(counter_get(&worker.closed[CLOSED_IDLE]), ended);
		cr_assert_eq(wait_ms(), 0);
	}
	expire(&worker);
	cr_assert_eq(counter_get(&worker.closed[CLOSED_IDLE]), 200);
	cr_assert_eq(wait_ms(), -1);
	cr_assert_eq(shared.limiter.open, 0);
	for (int i = 0; i < 200; i++)
		close(clients_of[i]);
}

/* What a stalled client sends is no reason for a turn: only room, an end or an error is. */
TEST(turns, stalled_is_not_bothered)
{
	static const uint32_t reasons[] = { EPOLLOUT, EPOLLHUP, EPOLLERR, EPOLLIN | EPOLLOUT };
	int fd, client = meet(&fd);

	connections_restart(&worker.members, record(fd), true);
	happen(fd, EPOLLIN);
	happen(fd, EPOLLIN | EPOLLRDHUP);
	cr_assert_eq(worker.members.ready.head, 0);
	for (int i = 0; i < 4; i++) {
		happen(fd, reasons[i]);
		cr_assert_eq(connections_dequeue(&worker.members), record(fd));
	}
	close(client);
}

/* In the round in which it freezes it echoes as before, and ends nothing. */
TEST(turns, freeze)
{
	int fd, client = meet(&fd);
	char byte;

	cr_assert_eq(send(client, "x", 1, 0), 1);
	helper_wait(fd, POLLIN);
	happen(fd, EPOLLIN);
	loop_command(&worker.loop, FREEZE);
	obey(&worker);
	serve_ready(&worker);
	cr_assert_not(record(fd)->finished);
	cr_assert_eq(recv(client, &byte, 1, 0), 1);
	close(client);
}
