/*
 * bare: the least that an edge-triggered epoll echo can be, as a reference.
 *
 *     bare PORT
 *
 * One thread accepts and echoes: one EPOLL_CTL_ADD, read and write until
 * EAGAIN.  No limits, no timeouts, no counters, and a client that does not
 * read ends the connection.  Serves on 127.0.0.1 until it is killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 512

static char buffer[256 * 1024];

static void echo(int fd)
{
	for (;;) {
		ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0 || send(fd, buffer, (size_t)n, MSG_NOSIGNAL) != n) {
			close(fd);
			return;
		}
	}
}

static void watch(int epoll_fd, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
}

static int listen_on(unsigned port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 4096) < 0)
		exit(1);
	return fd;
}

int main(int argc, char *argv[])
{
	struct epoll_event events[BATCH];
	int listener = listen_on(argc > 1 ? (unsigned)atoi(argv[1]) : 0);
	int epoll_fd = epoll_create1(0);

	watch(epoll_fd, listener, EPOLLIN);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(epoll_fd, events, BATCH, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd != listener) {
				echo(events[i].data.fd);
				continue;
			}
			for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;)
				watch(epoll_fd, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
		}
	}
}
