/* SPDX-License-Identifier: MIT */
/*
 * poller: an epoll instance, and an eventfd in it by which other threads wake the one
 * that waits there.
 *
 * Any thread may call poller_add() and poller_wake() while the poller exists, and only
 * the thread that owns it the rest.
 */
#ifndef ECHOD_POLLER_H
#define ECHOD_POLLER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct poller {
	int epoll_fd;
	int wake_fd;
	const char *name; /* the thread's, for the trace */
	bool trace;	  /* see trace.h */
};

/* 0 or -errno; after an error there is nothing to undo.  Keeps name. */
int poller_init(struct poller *p, const char *name, bool trace);

/* May be called twice. */
void poller_deinit(struct poller *p);

/* Watches fd; data.fd of its events is fd.  0, or -errno of epoll_ctl(2). */
int poller_add(const struct poller *p, int fd, uint32_t events);

/* Stops watching fd, where close(2) would not do: another process has the same open file. */
void poller_remove(const struct poller *p, int fd);

/* Stops watching everything, after the last wait; nothing may be added any more. */
void poller_unwatch_all(struct poller *p);

/* As epoll_wait(2), but an interruption is no event: never negative. */
int poller_wait(struct poller *p, struct epoll_event *events, int max, int timeout_ms);

/* Makes the wait return. */
void poller_wake(const struct poller *p);

/* True if the event is that of poller_wake(), which is then consumed. */
bool poller_is_wake(const struct poller *p, const struct epoll_event *event);

#endif
