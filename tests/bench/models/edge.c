/* SPDX-License-Identifier: MIT */
/*
 * edge: epoll, edge-triggered, as echod does it, in one thread.
 *
 * A change is reported once.  So each socket is read until EAGAIN, or written
 * until EAGAIN if there is a rest; the next change comes by itself.  In return
 * there is one EPOLL_CTL_ADD in a connection's life: EPOLLOUT can be asked for
 * always, for it is reported only when a full send buffer has room again.
 *
 * The loop until EAGAIN has a danger that echod's worker.c bounds and this
 * model does not: a client that sends as fast as it is read keeps the others
 * waiting.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include "model.h"

#define BATCH 512

static int epoll_fd;

static void watch(int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0)
		model_die("epoll_ctl");
}

static void accept_all(int listener)
{
	for (int fd; (fd = model_accept(listener, SOCK_NONBLOCK)) >= 0;)
		watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

static void echo(int fd)
{
	enum model_want want;

	do
		want = model_turn(fd);
	while (want == MODEL_MORE);
	if (want == MODEL_END)
		model_close(fd);
}

int main(int argc, char *argv[])
{
	struct epoll_event events[BATCH];
	int listener;

	epoll_fd = epoll_create1(0);
	listener = model_listen(argc, argv, SOCK_NONBLOCK);
	watch(listener, EPOLLIN);
	for (;;) {
		int n = epoll_wait(epoll_fd, events, BATCH, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				accept_all(listener);
			else
				echo(events[i].data.fd);
		}
	}
}
