/* SPDX-License-Identifier: MIT */
/*
 * rearm: epoll as in many tutorials: wait to read, then wait to write.
 *
 * EPOLLIN: receive, and change the registration to EPOLLOUT.  EPOLLOUT: send,
 * and change it back.  Each message costs two EPOLL_CTL_MOD, and a second wait
 * that returns at once, for the socket was writable all along.
 *
 * EPOLLET stands in the registration, and yet one receive a report is enough:
 * EPOLL_CTL_MOD looks at the socket anew and reports what is ready, which
 * makes a level of the edge.
 *
 * What such tutorials lack is here: a buffer for each connection instead of
 * one for all, sends that take less than they are given, EAGAIN, and errors
 * other than a reset.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include "model.h"

#define BATCH 512

static int epoll_fd;

static void watch(int operation, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	if (epoll_ctl(epoll_fd, operation, fd, &e) < 0)
		model_die("epoll_ctl");
}

static void accept_all(int listener)
{
	for (int fd; (fd = model_accept(listener, SOCK_NONBLOCK)) >= 0;)
		watch(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET);
}

/* The event says what was waited for: EPOLLOUT only with a rest. */
static void echo(int fd, uint32_t events)
{
	enum model_want want = events & EPOLLOUT ? model_send(fd) : model_receive(fd);

	if (want == MODEL_END)
		model_close(fd);
	else
		watch(EPOLL_CTL_MOD, fd, (want == MODEL_WRITE ? EPOLLOUT : EPOLLIN) | EPOLLET);
}

int main(int argc, char *argv[])
{
	struct epoll_event events[BATCH];
	int listener;

	epoll_fd = epoll_create1(0);
	listener = model_listen(argc, argv, SOCK_NONBLOCK);
	watch(EPOLL_CTL_ADD, listener, EPOLLIN);
	for (;;) {
		int n = epoll_wait(epoll_fd, events, BATCH, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				accept_all(listener);
			else
				echo(events[i].data.fd, events[i].events);
		}
	}
}
