#include "reactor/worker.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper.h"

static struct connections connections;
static struct limiter limiter;
static struct worker worker;
static sem_t started;
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

/* A worker that runs, with no connections. */
static void begin(void)
{
	struct worker_config config = { .buffer_size = 4096,
					.connections = &connections,
					.limiter = &limiter,
					.started = &started };
	struct worker_settings settings = { .pending_memory = 1 << 20 };

	config.main_fd = eventfd(0, EFD_CLOEXEC);
	cr_assert_eq(sem_init(&started, 0, 0), 0);
	cr_assert_eq(connections_init(&connections, 1024), 0);
	cr_assert_eq(limiter_init(&limiter, 1024), 0);
	cr_assert_eq(worker_init(&worker, &config), 0);
	worker_set(&worker, &settings);
	cr_assert_eq(worker_start(&worker), 0);
	sem_wait(&started);
}

static void end(void)
{
	loop_command(&worker.loop, DRAIN);
	loop_command(&worker.loop, ABORT);
	loop_join(&worker.loop);
	close(worker.config.main_fd);
	worker_deinit(&worker);
	limiter_deinit(&limiter);
	connections_deinit(&connections);
}

TestSuite(worker, .init = begin, .fini = end, .timeout = HELPER_TIMEOUT);

/* A connection of the worker's.  Returns the client's end, the worker's in *ours. */
static int adopt(int *ours)
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
	struct pollfd p = { .fd = client, .events = POLLIN };

	cr_assert_eq(send(client, &byte, 1, 0), 1);
	cr_assert_eq(poll(&p, 1, 15000), 1, "no echo");
	cr_assert_eq(recv(client, &byte, 1, 0), 1);
	cr_assert_eq(byte, 'x');
}

/* Beside one who never lets the worker come to EAGAIN, all others have their turns. */
TEST(worker, endless_stream)
{
	int ours, early = adopt(&ours), stream = adopt(&ours), late;

	check_echoes(early);
	check_echoes(stream);
	endless = ours;
	cr_assert_eq(send(stream, "x", 1, 0),
		     1); /* an edge, and from now on it is ready for ever */
	while (counter_get(&worker.clients.echoed) < 1000000)
		usleep(1000);
	check_echoes(early);
	late = adopt(&ours);
	check_echoes(late);
	close(early);
	close(late);
	close(stream);
}
