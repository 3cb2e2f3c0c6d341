/* SPDX-License-Identifier: MIT */
/*
 * What the kernel and malloc(3) may do but seldom do, in a library that is loaded before a
 * program's others (LD_PRELOAD).  ECHOD_SHIM names a file that the test and the threads of the
 * program share: it says what is wanted, at any moment anew, and what was done.
 *
 * EAGAIN is a promise: an edge will come.  So after one that was not true EPOLL_CTL_MOD makes an
 * edge. To close what is not open is a mistake that in time closes what is another's, and ends the
 * process.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REAL(function)                                                             \
	({                                                                         \
		static __typeof__(&function) real;                                 \
		if (!real)                                                         \
			real = (__typeof__(&function))dlsym(RTLD_NEXT, #function); \
		real;                                                              \
	})

#define DESCRIPTORS 65536

/* As in functional/shim.py; what is 0 is not done. */
static struct control {
	_Atomic uint64_t most;	 /* bytes that a receive, send or splice of a connection moves */
	_Atomic uint64_t eagain; /* one of so many of these says EAGAIN */
	_Atomic uint64_t eintr;	 /* one of so many, also of epoll_wait and accept4, says EINTR */
	_Atomic uint64_t late;	 /* microseconds at most, before close frees and again after it */
	_Atomic uint64_t close_error; /* what close says when it has closed */
	_Atomic uint64_t descriptors; /* the limit that getrlimit says */
	_Atomic uint64_t first, last; /* the allocations that fail, the first one is 1 */
	_Atomic uint64_t allocations, failed, shortened, postponed, interrupted, delayed, closed;
} nothing, *control = &nothing;

/* How each connection is registered; written before another thread has it. */
static struct {
	int epoll_fd;
	struct epoll_event event;
} registered[DESCRIPTORS];

/* In libconfuse, for which conf.c has made sure that there is memory. */
static _Thread_local bool parsing;

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

__attribute__((constructor)) static void find_control(void)
{
	const char *path = getenv("ECHOD_SHIM");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *memory = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (memory != MAP_FAILED) {
		control = memory;
		close(fd);
	}
}

static unsigned below(uint64_t n)
{
	static atomic_uint seeds;
	static _Thread_local unsigned seed;

	if (seed == 0)
		seed = 1 + atomic_fetch_add(&seeds, 1);
	return (unsigned)rand_r(&seed) % (unsigned)n;
}

static bool one_of(uint64_t n)
{
	return n > 0 && below(n) == 0;
}

static bool allocation_fails(void)
{
	uint64_t n;

	if (parsing)
		return false;
	n = atomic_fetch_add(&control->allocations, 1) + 1;
	if (n < control->first || n > control->last)
		return false;
	atomic_fetch_add(&control->failed, 1);
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return allocation_fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return allocation_fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
	return allocation_fails() ? NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return allocation_fails() ? NULL : __libc_memalign(alignment, size);
}

/* libconfuse's; what they take and give is the same to us. */
void *cfg_init(void *opts, int flags)
{
	void *cfg;

	parsing = true;
	cfg = REAL(cfg_init)(opts, flags);
	parsing = false;
	return cfg;
}

int cfg_parse_fp(void *cfg, void *in)
{
	int r;

	parsing = true;
	r = REAL(cfg_parse_fp)(cfg, in);
	parsing = false;
	return r;
}

static bool is_connection(int fd)
{
	return fd >= 0 && fd < DESCRIPTORS && (registered[fd].event.events & EPOLLET);
}

static bool interrupt(void)
{
	if (!one_of(control->eintr))
		return false;
	atomic_fetch_add(&control->interrupted, 1);
	errno = EINTR;
	return true;
}

static bool postpone(int fd)
{
	if (!one_of(control->eagain) ||
	    REAL(epoll_ctl)(registered[fd].epoll_fd, EPOLL_CTL_MOD, fd, &registered[fd].event) < 0)
		return false;
	atomic_fetch_add(&control->postponed, 1);
	errno = EAGAIN;
	return true;
}

static size_t shorten(size_t size)
{
	size_t n = control->most > 0 ? 1 + below(control->most) : size;

	if (n >= size)
		return size;
	atomic_fetch_add(&control->shortened, 1);
	return n;
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
	/* With MSG_TRUNC, what was looked at before is dropped: it is there. */
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
	if (control->late == 0)
		return;
	atomic_fetch_add(&control->delayed, 1);
	usleep(below(control->late));
}

/* Linux has closed the descriptor even if it reports an error. */
int close(int fd)
{
	int r, error;

	delay();
	if (fd >= 0 && fd < DESCRIPTORS)
		registered[fd].event.events = 0; /* before the number can be given again */
	r = REAL(close)(fd);
	error = errno;
	if (r < 0 && error == EBADF) {
		dprintf(STDERR_FILENO, "shim: descriptor %d is closed, but was not open\n", fd);
		abort();
	}
	delay();
	if (r == 0 && control->close_error) {
		atomic_fetch_add(&control->closed, 1);
		error = (int)control->close_error;
		r = -1;
	}
	errno = error;
	return r;
}

/* By prlimit(2), as where a limit has 32 bits this is getrlimit64(3) by another name. */
int getrlimit(__rlimit_resource_t resource, struct rlimit *limit)
{
	int r = (int)syscall(SYS_prlimit64, 0, resource, NULL, limit);

	if (r == 0 && resource == RLIMIT_NOFILE && control->descriptors > 0)
		limit->rlim_cur = limit->rlim_max = control->descriptors;
	return r;
}
