/* SPDX-License-Identifier: MIT */
/*
 * epoll: the kernel keeps the list of sockets, and a second one of those that
 * are ready; a wait returns the latter.  So the work grows with those that have
 * something to read, not with all.  `epoll WAY` has three ways:
 *
 * level: a socket that is ready is reported until it is no longer, so one
 * receive a report is enough: what is left is reported again.  But then
 * EPOLLOUT must be asked for only while there is a rest, for a socket is nearly
 * always writable: one EPOLL_CTL_MOD when a client stalls, and one when it has
 * caught up.
 *
 * edge: as echod does it, in one thread.  A change is reported once.  So each
 * socket is read until EAGAIN, or written until EAGAIN if there is a rest; the
 * next change comes by itself.  In return there is one EPOLL_CTL_ADD in a
 * connection's life: EPOLLOUT can be asked for always, for it is reported only
 * when a full send buffer has room again.  The loop until EAGAIN has a danger
 * that echod's worker.c bounds and this model does not: a client that sends as
 * fast as it is read keeps the others waiting.
 *
 * rearm: as in many tutorials, wait to read, then wait to write.  Each message
 * costs two EPOLL_CTL_MOD, and a second wait that returns at once, for the
 * socket was writable all along.  EPOLLET stands in the registration, and yet
 * one receive a report is enough: EPOLL_CTL_MOD looks at the socket anew and
 * reports what is ready, which makes a level of the edge.  What such tutorials
 * lack is here: a buffer for each connection instead of one for all, sends that
 * take less than they are given, EAGAIN, and errors other than a reset.
 */
#include <string.h>
#include <sys/epoll.h>

#include "model.h"

#define BATCH 512

static int epoll_fd;

static void watch(int operation, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	if (epoll_ctl(epoll_fd, operation, fd, &e) < 0)
		peer_die("epoll_ctl");
}

/* The event says what was waited for: EPOLLOUT only with a rest. */
static void echo_level(int fd, uint32_t events)
{
	enum model_want want = model_turn(fd);

	if (want == MODEL_END)
		model_close(fd);
	else if (want == MODEL_WRITE && !(events & EPOLLOUT))
		watch(EPOLL_CTL_MOD, fd, EPOLLOUT);
	else if (want != MODEL_WRITE && (events & EPOLLOUT))
		watch(EPOLL_CTL_MOD, fd, EPOLLIN);
}

static void echo_edge(int fd, uint32_t events)
{
	enum model_want want;

	(void)events;
	do
		want = model_turn(fd);
	while (want == MODEL_MORE);
	if (want == MODEL_END)
		model_close(fd);
}

static void echo_rearm(int fd, uint32_t events)
{
	enum model_want want = events & EPOLLOUT ? model_send(fd) : model_receive(fd);

	if (want == MODEL_END)
		model_close(fd);
	else
		watch(EPOLL_CTL_MOD, fd, (want == MODEL_WRITE ? EPOLLOUT : EPOLLIN) | EPOLLET);
}

static const struct way {
	const char *name;
	uint32_t events; /* those of a new connection */
	void (*echo)(int fd, uint32_t events);
} ways[] = {
	{ "level", EPOLLIN, echo_level },
	{ "edge", EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, echo_edge },
	{ "rearm", EPOLLIN | EPOLLET, echo_rearm },
};

int main(int argc, char *argv[])
{
	const struct way *way = &ways[0];
	struct epoll_event events[BATCH];
	int listener;

	for (size_t i = 1; argc > 1 && i < sizeof(ways) / sizeof(ways[0]); i++)
		if (strcmp(ways[i].name, argv[1]) == 0)
			way = &ways[i];
	epoll_fd = epoll_create1(0);
	listener = model_listen(SOCK_NONBLOCK);
	watch(EPOLL_CTL_ADD, listener, EPOLLIN);
	for (;;) {
		int n = epoll_wait(epoll_fd, events, BATCH, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd != listener) {
				way->echo(events[i].data.fd, events[i].events);
				continue;
			}
			for (int fd; (fd = model_accept(listener, SOCK_NONBLOCK)) >= 0;)
				watch(EPOLL_CTL_ADD, fd, way->events);
		}
	}
}
