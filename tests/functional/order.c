/* SPDX-License-Identifier: MIT */
/*
 * What the kernel promises about order, told to helgrind: a library to preload.
 *
 * Helgrind knows locks, semaphores and threads.  echod hands a connection over by
 * epoll_ctl(2), and a descriptor's number comes back by close(2) and accept4(2);
 * what is learned by these calls comes after what made them so.
 */
#include <dlfcn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <valgrind/helgrind.h>

#define DESCRIPTORS 65536

static char told[DESCRIPTORS], closed[DESCRIPTORS]; /* their addresses stand for the descriptors */

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
	if (operation == EPOLL_CTL_ADD)
		ANNOTATE_HAPPENS_BEFORE(&told[fd]);
	return NEXT(epoll_ctl)(epoll_fd, operation, fd, event);
}

int epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout)
{
	int n = NEXT(epoll_wait)(epoll_fd, events, max, timeout);

	for (int i = 0; i < n; i++)
		ANNOTATE_HAPPENS_AFTER(&told[events[i].data.fd]);
	return n;
}

int eventfd_write(int fd, eventfd_t value)
{
	ANNOTATE_HAPPENS_BEFORE(&told[fd]);
	return NEXT(eventfd_write)(fd, value);
}

int eventfd_read(int fd, eventfd_t *value)
{
	int r = NEXT(eventfd_read)(fd, value);

	if (r == 0)
		ANNOTATE_HAPPENS_AFTER(&told[fd]);
	return r;
}

int close(int fd)
{
	if (fd >= 0)
		ANNOTATE_HAPPENS_BEFORE(&closed[fd]);
	return NEXT(close)(fd);
}

int accept4(int listener, struct sockaddr *address, socklen_t *size, int flags)
{
	int fd = NEXT(accept4)(listener, address, size, flags);

	if (fd >= 0)
		ANNOTATE_HAPPENS_AFTER(&closed[fd]);
	return fd;
}
