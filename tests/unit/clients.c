/*
 * The connections of a worker, without its thread: events are the test's, and
 * the sockets are real.
 */
#include "reactor/clients.h"

#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper.h"

#define FIRST 300 /* descriptors of connections, in the order in which they came */

static struct connections connections;
static struct limiter limiter;
static struct clients clients;
static unsigned char buffer[4096];
static int n;

static void begin(void)
{
	cr_assert_eq(connections_init(&connections, 1024), 0);
	cr_assert_eq(limiter_init(&limiter, 1024), 0);
	clients = (struct clients){ .connections = &connections,
				    .limiter = &limiter,
				    .name = "test" };
	clients.timeouts.connections = &connections;
	clients.echo.buffer = buffer;
	clients.echo.size = clients.echo.budget = sizeof(buffer);
	timeouts_tick(&clients.timeouts);
	n = 0;
}

static void end(void)
{
	clients_end_all(&clients);
	limiter_deinit(&limiter);
	connections_deinit(&connections);
}

TestSuite(clients, .init = begin, .fini = end, .timeout = HELPER_TIMEOUT);

static struct connection *at(int fd)
{
	return connections_at(&connections, (uint32_t)fd);
}

/* A connection over TCP.  Returns the client's end, ours in *fd. */
static int meet(int *fd)
{
	struct address address = helper_address("127.0.0.1:0");
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	int size = 4096, accepted;

	setsockopt(client, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	cr_assert_eq(bind(listener, &address.any, address.size), 0);
	cr_assert_eq(listen(listener, 1), 0);
	cr_assert_eq(getsockname(listener, &address.any, &address.size), 0);
	cr_assert_eq(connect(client, &address.any, address.size), 0);
	accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	*fd = dup2(accepted, FIRST + n++);
	cr_assert_geq(*fd, FIRST);
	close(accepted);
	close(listener);
	limiter.open++;
	clients_hear(&clients, *fd, EPOLLOUT);
	return client;
}

/* Waits for the kernel's word, and passes it on. */
static void hear(int fd, short events)
{
	helper_wait(fd, events);
	clients_hear(&clients, fd, (uint32_t)events);
	clients_serve(&clients);
}

/* A client that does not read, and of whose echo so much is in the kernel or waits here. */
static int talk(int *fd, size_t size)
{
	static char data[1 << 16];
	int client = meet(fd);

	for (size_t sent = 0; sent < size; sent += sizeof(data)) {
		cr_assert_eq(send(client, data, sizeof(data), 0), (ssize_t)sizeof(data));
		while (at(*fd)->echoed < sent + sizeof(data))
			hear(*fd, POLLIN);
	}
	return client;
}

/* What is overdue at once is ended by and by, and each time there is no waiting. */
TEST(clients, many_overdue)
{
	int clients_of[200], fd;

	for (int i = 0; i < 200; i++)
		clients_of[i] = meet(&fd);
	clients.timeouts.idle_ms = 1;
	clients.timeouts.settled = clients.timeouts.now += 10;
	for (uint64_t ended = 64; ended < 200; ended += 64) {
		clients_expire(&clients);
		cr_assert_eq(counter_get(&clients.closed[CLOSED_IDLE]), ended);
		cr_assert_eq(clients_patience(&clients), 0);
	}
	clients_expire(&clients);
	cr_assert_eq(counter_get(&clients.closed[CLOSED_IDLE]), 200);
	cr_assert_eq(clients_patience(&clients), -1);
	cr_assert_eq(limiter.open, 0);
	for (int i = 0; i < 200; i++)
		close(clients_of[i]);
}

/* What a stalled client sends concerns nobody: only room, an end or an error does. */
TEST(clients, stalled_is_not_bothered)
{
	static const uint32_t reasons[] = { EPOLLOUT, EPOLLHUP, EPOLLERR, EPOLLIN | EPOLLOUT };
	int fd, client = meet(&fd);

	timeouts_restart(&clients.timeouts, at(fd), true);
	clients_hear(&clients, fd, EPOLLIN);
	clients_hear(&clients, fd, EPOLLIN | EPOLLRDHUP);
	cr_assert_eq(clients.ready.head, 0);
	for (int i = 0; i < 4; i++) {
		clients_hear(&clients, fd, reasons[i]);
		cr_assert_eq(connections_dequeue(&connections, &clients.ready), at(fd));
	}
	close(client);
}

/* At a FIN it is ended if all is acknowledged; else it keeps its place until that is so. */
TEST(clients, parting)
{
	static char data[1 << 16];
	int fd, client = talk(&fd, 1 << 17);

	shutdown(client, SHUT_WR);
	hear(fd, POLLIN);
	cr_assert_eq(at(fd)->parting, CLOSED_BY_CLIENT + 1);
	cr_assert(at(fd)->finished && at(fd)->stalled);
	cr_assert_eq(limiter.open, 1);
	clients_hear(&clients, fd, EPOLLOUT | EPOLLHUP); /* of our own FIN */
	clients_serve(&clients);
	cr_assert_eq(limiter.open, 1);
	while (recv(client, data, sizeof(data), 0) > 0)
		;
	while (limiter.open > 0) /* the acknowledgement may take its time */
		hear(fd, POLLHUP);
	cr_assert_eq(counter_get(&clients.closed[CLOSED_BY_CLIENT]), 1);
	close(client);
}

/* An error ends it, for nothing more will be acknowledged. */
TEST(clients, parting_broken)
{
	struct linger linger = { .l_onoff = 1 };
	int fd, client = talk(&fd, 1 << 17);

	shutdown(client, SHUT_WR);
	hear(fd, POLLIN);
	setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(client);
	hear(fd, POLLERR);
	cr_assert_eq(limiter.open, 0);
	cr_assert_eq(counter_get(&clients.closed[CLOSED_BY_ERROR]), 1);
}

/* While it drains, what has come after the beginning is not echoed. */
TEST(clients, drain)
{
	int fd, client = meet(&fd);
	char heard[16];

	cr_assert_eq(send(client, "before", 6, 0), 6);
	helper_wait(fd, POLLIN);
	clients_drain(&clients);
	cr_assert_eq(at(fd)->owed, 6);
	clients_serve(&clients);
	clients_serve(&clients);
	cr_assert(at(fd)->finished);
	cr_assert_eq(send(client, "after", 5, 0), 5);
	hear(fd, POLLIN);
	cr_assert_eq(recv(client, heard, sizeof(heard), MSG_WAITALL), 6);
	cr_assert_eq(memcmp(heard, "before", 6), 0);
	cr_assert_eq(limiter.open, 1);
	shutdown(client, SHUT_WR);
	hear(fd, POLLRDHUP);
	cr_assert_eq(limiter.open, 0);
	close(client);
}
