/* SPDX-License-Identifier: MIT */
#include "failing.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(_FILE_OFFSET_BITS) && __SIZEOF_LONG__ == 4 /* then glibc has other names for these */
#define __wrap_mmap __wrap_mmap64
#define __real_mmap __real_mmap64
#define __wrap_fcntl __wrap_fcntl64
#define __real_fcntl __real_fcntl64
#define __wrap_open __wrap_open64
#define __real_open __real_open64
#define __wrap_fstat __wrap_fstat64
#define __real_fstat __real_fstat64
#define __wrap_fopen __wrap_fopen64
#define __real_fopen __real_fopen64
#endif

static atomic_uint turn; /* calls up to the one that fails, 0: none will */
static atomic_bool failed;
static atomic_bool here;	   /* only calls of one thread count, */
static _Thread_local bool is_here; /* this one */

static void begin(unsigned nth, bool only_here)
{
	is_here = true;
	atomic_store(&failed, false);
	atomic_store(&here, only_here);
	atomic_store(&turn, nth);
}

void failing_begin(unsigned nth)
{
	begin(nth, false);
}

void failing_begin_here(unsigned nth)
{
	begin(nth, true);
}

bool failing_end(void)
{
	atomic_store(&turn, 0);
	return atomic_load(&failed);
}

static bool fails(int error)
{
	unsigned n = atomic_load(&turn);

	if (atomic_load(&here) && !is_here)
		return false;
	while (n > 0 && !atomic_compare_exchange_weak(&turn, &n, n - 1))
		continue;
	if (n != 1)
		return false;
	atomic_store(&failed, true);
	errno = error;
	return true;
}

/* A function, its parameters, their names, and how it fails. */
#define CALL(type, name, parameters, arguments, error, result)                  \
	type __real_##name parameters;                                          \
	type __wrap_##name parameters;                                          \
	type __wrap_##name parameters                                           \
	{                                                                       \
		return fails(error) ? (type)(result) : __real_##name arguments; \
	}

typedef void *pointer;
typedef void *(*routine)(void *);

CALL(pointer, malloc, (size_t n), (n), ENOMEM, NULL)
CALL(pointer, calloc, (size_t n, size_t size), (n, size), ENOMEM, NULL)
CALL(pointer, reallocarray, (void *p, size_t n, size_t size), (p, n, size), ENOMEM, NULL)
CALL(char *, strdup, (const char *text), (text), ENOMEM, NULL)
CALL(pointer, aligned_alloc, (size_t unit, size_t n), (unit, n), ENOMEM, NULL)
CALL(pointer, mmap, (void *p, size_t n, int prot, int flags, int fd, off_t at),
     (p, n, prot, flags, fd, at), ENOMEM, MAP_FAILED)
CALL(ssize_t, getrandom, (void *p, size_t n, unsigned flags), (p, n, flags), ENOSYS, -1)
CALL(int, getrlimit, (__rlimit_resource_t what, struct rlimit *limit), (what, limit), EPERM, -1)
CALL(int, setrlimit, (__rlimit_resource_t what, const struct rlimit *limit), (what, limit), EPERM,
     -1)
CALL(int, sched_getaffinity, (pid_t pid, size_t n, cpu_set_t *set), (pid, n, set), EINVAL, -1)
CALL(int, pthread_create, (pthread_t * t, const pthread_attr_t *a, routine run, void *arg),
     (t, a, run, arg), EAGAIN, EAGAIN)

CALL(int, epoll_create1, (int flags), (flags), EMFILE, -1)
CALL(int, epoll_ctl, (int p, int what, int fd, struct epoll_event *e), (p, what, fd, e), ENOSPC, -1)
CALL(int, eventfd, (unsigned n, int flags), (n, flags), EMFILE, -1)
CALL(int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags), EMFILE, -1)
CALL(int, memfd_create, (const char *name, unsigned flags), (name, flags), EMFILE, -1)
CALL(int, pipe2, (int ends[2], int flags), (ends, flags), EMFILE, -1)
CALL(int, poll, (struct pollfd * fds, nfds_t n, int timeout), (fds, n, timeout), EINTR, -1)

CALL(int, socket, (int family, int type, int protocol), (family, type, protocol), EMFILE, -1)
CALL(int, socketpair, (int family, int type, int protocol, int ends[2]),
     (family, type, protocol, ends), EMFILE, -1)
CALL(int, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), EADDRINUSE, -1)
CALL(int, listen, (int fd, int backlog), (fd, backlog), EADDRINUSE, -1)
CALL(int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), ENETUNREACH, -1)
CALL(int, getsockname, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), ENOBUFS, -1)
CALL(int, getpeername, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), ENOTCONN, -1)
CALL(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *n),
     (fd, level, name, value, n), ENOBUFS, -1)
CALL(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t n),
     (fd, level, name, value, n), ENOBUFS, -1)
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags), ENOBUFS, -1)
CALL(ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags), EINTR, -1)
CALL(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags), ECONNRESET, -1)
CALL(ssize_t, recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags), ECONNRESET, -1)

CALL(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n), EINTR, -1)
CALL(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n), EINTR, -1)
CALL(int, fstat, (int fd, struct stat *st), (fd, st), EIO, -1)
CALL(FILE *, fdopen, (int fd, const char *mode), (fd, mode), ENOMEM, NULL)
CALL(FILE *, fopen, (const char *path, const char *mode), (path, mode), EMFILE, NULL)
CALL(FILE *, fmemopen, (void *p, size_t n, const char *mode), (p, n, mode), ENOMEM, NULL)
CALL(FILE *, open_memstream, (char **text, size_t *n), (text, n), ENOMEM, NULL)
CALL(int, fflush, (FILE * out), (out), ENOSPC, EOF)

/* Their last argument, if they have it, is a number wherever they are used here. */
int __real_fcntl(int fd, int what, ...);
int __wrap_fcntl(int fd, int what, ...);
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

int __wrap_fcntl(int fd, int what, ...)
{
	va_list ap;
	long last;

	va_start(ap, what);
	last = va_arg(ap, long);
	va_end(ap);
	return fails(EINVAL) ? -1 : __real_fcntl(fd, what, last);
}

int __wrap_open(const char *path, int flags, ...)
{
	va_list ap;
	long last;

	va_start(ap, flags);
	last = va_arg(ap, long);
	va_end(ap);
	return fails(EMFILE) ? -1 : __real_open(path, flags, last);
}
