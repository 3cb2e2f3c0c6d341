/* SPDX-License-Identifier: MIT */
/*
 * What the kernel may do but seldom does, preloaded into echod (LD_PRELOAD).
 *
 * Each variable of the environment is a number:
 *
 *   SHIM_SHORT=N    recv, send and splice of a connection move 1 to N bytes
 *   SHIM_EAGAIN=N   one of N of them says EAGAIN
 *   SHIM_EINTR=N    one of N of them, and of epoll_wait and accept4, says EINTR
 *   SHIM_CLOSE=N    close takes up to N microseconds before it frees the
 *                   descriptor, and as much after
 *   SHIM_NOFILE=N   getrlimit says that so many descriptors are allowed
 *
 * After an EAGAIN that was not true an edge must follow, as it does after one
 * that was: EPOLL_CTL_MOD makes one.  To close what is not open is a mistake
 * that in time closes what is another's, and ends the process.  At its end the
 * process says how often it was treated so.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REAL(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

#define DESCRIPTORS 65536

/* How each connection is registered; written before it is handed over. */
static struct {
	int epoll_fd;
	struct epoll_event event;
} registered[DESCRIPTORS];

static atomic_ulong shortened, postponed, interrupted, delayed;

static unsigned setting(const char *name)
{
	const char *value = getenv(name);

	return value ? (unsigned)strtoul(value, NULL, 10) : 0;
}

static unsigned below(unsigned n)
{
	static atomic_uint seeds;
	static _Thread_local unsigned seed;

	if (seed == 0)
		seed = 1 + atomic_fetch_add(&seeds, 1);
	return (unsigned)rand_r(&seed) % n;
}

static bool one_of(const char *name)
{
	unsigned n = setting(name);

	return n > 0 && below(n) == 0;
}

static bool is_connection(int fd)
{
	return fd >= 0 && fd < DESCRIPTORS && (registered[fd].event.events & EPOLLET);
}

static bool interrupt(void)
{
	if (!one_of("SHIM_EINTR"))
		return false;
	atomic_fetch_add(&interrupted, 1);
	errno = EINTR;
	return true;
}

static bool postpone(int fd)
{
	if (!one_of("SHIM_EAGAIN"))
		return false;
	atomic_fetch_add(&postponed, 1);
	REAL(epoll_ctl)(registered[fd].epoll_fd, EPOLL_CTL_MOD, fd, &registered[fd].event);
	errno = EAGAIN;
	return true;
}

static size_t shorten(size_t size)
{
	unsigned most = setting("SHIM_SHORT");

	if (most == 0 || size < 2)
		return size;
	most = 1 + below(most);
	if (most >= size)
		return size;
	atomic_fetch_add(&shortened, 1);
	return most;
}

int epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
	if (op == EPOLL_CTL_ADD && fd < DESCRIPTORS) {
		registered[fd].epoll_fd = epoll_fd;
		registered[fd].event = *event;
	}
	return REAL(epoll_ctl)(epoll_fd, op, fd, event);
}

int epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout)
{
	return interrupt() ? -1 : REAL(epoll_wait)(epoll_fd, events, max, timeout);
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	return interrupt() ? -1 : REAL(accept4)(fd, address, size, flags);
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
	if (!is_connection(fd))
		return REAL(recv)(fd, data, size, flags);
	/* What was looked at before is there. */
	if (interrupt() || (!(flags & MSG_TRUNC) && postpone(fd)))
		return -1;
	return REAL(recv)(fd, data, shorten(size), flags);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
	if (!is_connection(fd))
		return REAL(send)(fd, data, size, flags);
	if (interrupt() || postpone(fd))
		return -1;
	return REAL(send)(fd, data, shorten(size), flags);
}

ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned flags)
{
	if (interrupt() || postpone(is_connection(in) ? in : out))
		return -1;
	return REAL(splice)(in, in_at, out, out_at, shorten(size), flags);
}

static void delay(void)
{
	unsigned most = setting("SHIM_CLOSE");

	if (most == 0)
		return;
	atomic_fetch_add(&delayed, 1);
	usleep(below(most));
}

int close(int fd)
{
	int r, error;

	delay();
	r = REAL(close)(fd);
	error = errno;
	if (r < 0 && error == EBADF) {
		dprintf(STDERR_FILENO, "shim: descriptor %d is closed, but was not open\n", fd);
		abort();
	}
	delay();
	errno = error;
	return r;
}

/* By prlimit(2), as where a limit has 32 bits this is getrlimit64(3) by another name. */
int getrlimit(__rlimit_resource_t resource, struct rlimit *limit)
{
	int r = (int)syscall(SYS_prlimit64, 0, resource, NULL, limit);
	unsigned most = setting("SHIM_NOFILE");

	if (r == 0 && resource == RLIMIT_NOFILE && most > 0)
		limit->rlim_cur = limit->rlim_max = most;
	return r;
}

__attribute__((destructor)) static void report(void)
{
	dprintf(STDERR_FILENO, "shim: %lu shortened, %lu postponed, %lu interrupted, %lu delayed\n",
		atomic_load(&shortened), atomic_load(&postponed), atomic_load(&interrupted),
		atomic_load(&delayed));
}
