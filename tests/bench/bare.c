/* SPDX-License-Identifier: MIT */
/*
 * bare: the least that an edge-triggered epoll echo can be, as a reference.
 *
 *     bare [WORKERS]
 *
 * One thread accepts and echoes: one EPOLL_CTL_ADD, read and write until
 * EAGAIN.  No limits, no timeouts, no counters, and a client that does not
 * read ends the connection.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peers/peer.h"

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

int main(int argc, char *argv[])
{
	struct epoll_event events[BATCH];
	int listener = peer_listen(argc, argv, SOCK_NONBLOCK);
	int epoll_fd = epoll_create1(0);

	watch(epoll_fd, listener, EPOLLIN);
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
