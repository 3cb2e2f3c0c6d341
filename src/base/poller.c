/* SPDX-License-Identifier: MIT */
#include "base/poller.h"

#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/trace.h"

int poller_init(struct poller *p, const char *name, bool trace)
{
	int r;

	p->name = name;
	p->trace = trace;
	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	p->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (p->epoll_fd < 0 || p->wake_fd < 0)
		r = -errno;
	else
		r = poller_add(p, p->wake_fd, EPOLLIN);
	if (r < 0)
		poller_deinit(p);
	return r;
}

void poller_unwatch_all(struct poller *p)
{
	if (p->epoll_fd >= 0)
		close(p->epoll_fd);
	p->epoll_fd = -1;
}

void poller_deinit(struct poller *p)
{
	poller_unwatch_all(p);
	if (p->wake_fd >= 0)
		close(p->wake_fd);
	p->wake_fd = -1;
}

int poller_add(const struct poller *p, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	return epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void poller_remove(const struct poller *p, int fd)
{
	(void)epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, fd,
			NULL); /* it fails only if it was not added */
}

int poller_wait(struct poller *p, struct epoll_event *events, int max, int timeout_ms)
{
	int n = epoll_wait(p->epoll_fd, events, max, timeout_ms);

	assert(n >= 0 || errno == EINTR); /* its other errors are mistakes of ours */
	if (n < 0)
		return 0;
	if (p->trace && n > 0)
		trace_batch(p->name, p->wake_fd, events, n);
	return n;
}

void poller_wake(const struct poller *p)
{
	/* It fails only if the count is at its maximum: the event is pending then. */
	(void)eventfd_write(p->wake_fd, 1);
}

bool poller_is_wake(const struct poller *p, const struct epoll_event *event)
{
	eventfd_t ignored;

	if (event->data.fd != p->wake_fd)
		return false;
	(void)eventfd_read(p->wake_fd, &ignored);
	return true;
}
