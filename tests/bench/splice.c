/* SPDX-License-Identifier: MIT */
/*
 * splice: an edge-triggered epoll echo that never sees a byte, as a reference
 * for streams.
 *
 *     splice [WORKERS]
 *
 * splice(2) moves what has arrived into the connection's pipe, and from there
 * back into the socket; the kernel passes its pages on and copies nothing.
 * What the socket does not take stays in the pipe.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peers/peer.h"

#define BATCH 512
#define ROOM (1024 * 1024) /* of a pipe */

struct client {
	int fd, in, out; /* the socket; where its pipe is written, and read */
	size_t held;	 /* bytes in the pipe */
};

static void finish(struct client *c)
{
	close(c->fd);
	close(c->in);
	close(c->out);
	free(c);
}

static ssize_t move(int from, int to, size_t size)
{
	return splice(from, NULL, to, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

static void echo(struct client *c)
{
	for (;;) {
		ssize_t n = c->held ? move(c->out, c->fd, c->held) : move(c->fd, c->in, ROOM);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			finish(c);
			return;
		}
		c->held = c->held ? c->held - (size_t)n : (size_t)n;
	}
}

static void watch(int epoll_fd, int fd, uint32_t events, struct client *c)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0)
		peer_die("epoll_ctl");
}

static void accept_all(int epoll_fd, int listener)
{
	for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
		struct client *c = malloc(sizeof(*c));
		int ends[2];

		if (!c || pipe2(ends, O_NONBLOCK) < 0 || fcntl(ends[1], F_SETPIPE_SZ, ROOM) < 0)
			peer_die("no pipe");
		*c = (struct client){ .fd = fd, .in = ends[1], .out = ends[0] };
		watch(epoll_fd, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, c);
	}
}

int main(int argc, char *argv[])
{
	struct epoll_event events[BATCH];
	int listener = peer_listen(argc, argv, SOCK_NONBLOCK);
	int epoll_fd = epoll_create1(0);

	watch(epoll_fd, listener, EPOLLIN, NULL);
	for (;;) {
		int n = epoll_wait(epoll_fd, events, BATCH, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				echo(events[i].data.ptr);
			else
				accept_all(epoll_fd, listener);
		}
	}
}
