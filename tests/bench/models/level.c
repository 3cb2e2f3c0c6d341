/* SPDX-License-Identifier: MIT */
/*
 * level: epoll, level-triggered.
 *
 * The kernel keeps the list of sockets, and a second one of those that are
 * ready; a wait returns the latter.  So the work grows with those that have
 * something to say, not with all.
 *
 * A socket that is ready is reported until it is no longer, so one receive a
 * report is enough: what is left is reported again.  But then EPOLLOUT must be
 * asked for only while there is a rest, for a socket is nearly always
 * writable: one EPOLL_CTL_MOD when a client stalls, and one when it has
 * caught up.
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
		watch(EPOLL_CTL_ADD, fd, EPOLLIN);
}

/* The event says what was waited for: EPOLLOUT only with a rest. */
static void echo(int fd, uint32_t events)
{
	enum model_want want = model_turn(fd);

	if (want == MODEL_END)
		model_close(fd);
	else if (want == MODEL_WRITE && !(events & EPOLLOUT))
		watch(EPOLL_CTL_MOD, fd, EPOLLOUT);
	else if (want != MODEL_WRITE && (events & EPOLLOUT))
		watch(EPOLL_CTL_MOD, fd, EPOLLIN);
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
