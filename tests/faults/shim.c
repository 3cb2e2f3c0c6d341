/* SPDX-License-Identifier: MIT */
/*
 * What strace cannot do to echod: loaded before the C library, it lets
 * allocations fail, makes receives and sends short, and lets close(2) report an
 * error.  A file that the test and all threads of the daemon share says what is
 * wanted, so it can change at any moment.
 *
 * EAGAIN is a promise: an edge will come.  So whenever the shim says so, it
 * registers the socket anew (EPOLL_CTL_MOD), which reports what is ready again.
 * Without that it would be a lie, at which any edge-triggered server hangs.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* As in scenes.py.  The allocations from first to last fail. */
struct wanted {
	_Atomic uint64_t allocations, first, last, failed;
	_Atomic uint64_t shorten; /* one of so many calls is left as it is; 0: all */
	_Atomic uint64_t again;	  /* one of so many calls says EAGAIN; 0: none */
	_Atomic uint64_t close_error;
	_Atomic uint64_t shortened, refused, closed;
};

#define SOCKETS 65536

static struct wanted *wanted;

/* Where each socket was registered. */
static struct {
	_Atomic int epoll;
	struct epoll_event event;
} registered[SOCKETS];

/* In the parser, for which conf.c has made sure that there is memory. */
static _Thread_local bool parsing;

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

__attribute__((constructor)) static void find_wanted(void)
{
	const char *path = getenv("ECHOD_FAULTS");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *memory;

	if (fd < 0)
		return;
	memory = mmap(NULL, sizeof(*wanted), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (memory != MAP_FAILED)
		wanted = memory;
}

static bool allocation_fails(void)
{
	uint64_t n;

	if (!wanted || parsing)
		return false;
	n = atomic_fetch_add(&wanted->allocations, 1) + 1;
	if (n < wanted->first || n > wanted->last)
		return false;
	atomic_fetch_add(&wanted->failed, 1);
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
	static void *(*real)(void *, int);
	void *cfg;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "cfg_init");
	parsing = true;
	cfg = real(opts, flags);
	parsing = false;
	return cfg;
}

int cfg_parse_fp(void *cfg, void *in)
{
	static int (*real)(void *, void *);
	int r;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "cfg_parse_fp");
	parsing = true;
	r = real(cfg, in);
	parsing = false;
	return r;
}

static unsigned rnd(void)
{
	static _Thread_local uint32_t x;

	if (x == 0)
		x = (uint32_t)(uintptr_t)&x | 1;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x;
}

/* Half of the calls get 1 to 7 bytes, the others some: so all is through in time. */
static size_t cut(size_t size)
{
	size_t max = rnd() % 2 ? 7 : size, n;

	if (!wanted || size == 0 || wanted->shorten == 0 || rnd() % wanted->shorten == 0)
		return size;
	n = 1 + rnd() % max;
	if (n >= size)
		return size;
	atomic_fetch_add(&wanted->shortened, 1);
	return n;
}

static int (*real_epoll_ctl(void))(int, int, int, struct epoll_event *)
{
	static int (*real)(int, int, int, struct epoll_event *);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "epoll_ctl");
	return real;
}

int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
	if (op == EPOLL_CTL_ADD && fd < SOCKETS && (event->events & EPOLLET)) {
		registered[fd].event = *event;
		registered[fd].epoll = epoll;
	} else if (fd < SOCKETS) {
		registered[fd].epoll = 0;
	}
	return real_epoll_ctl()(epoll, op, fd, event);
}

/* True if the call is to say EAGAIN, now that an edge will come. */
static bool not_now(int fd)
{
	struct epoll_event event;

	if (!wanted || wanted->again == 0 || rnd() % wanted->again != 0)
		return false;
	if (fd < 0 || fd >= SOCKETS || registered[fd].epoll == 0)
		return false;
	event = registered[fd].event;
	if (real_epoll_ctl()(registered[fd].epoll, EPOLL_CTL_MOD, fd, &event) < 0)
		return false;
	atomic_fetch_add(&wanted->refused, 1);
	errno = EAGAIN;
	return true;
}

/* With MSG_TRUNC, bytes are dropped that were looked at before: they are there. */
ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
	if (!(flags & MSG_TRUNC) && not_now(fd))
		return -1;
	return recvfrom(fd, buffer, cut(size), flags, NULL, NULL);
}

ssize_t send(int fd, const void *buffer, size_t size, int flags)
{
	if (fd < 0 || fd >= SOCKETS || registered[fd].epoll == 0) /* the log: all or nothing */
		return sendto(fd, buffer, size, flags, NULL, 0);
	if (not_now(fd))
		return -1;
	return sendto(fd, buffer, cut(size), flags, NULL, 0);
}

ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned flags)
{
	static ssize_t (*real)(int, off64_t *, int, off64_t *, size_t, unsigned);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "splice");
	if (not_now(out))
		return -1;
	return real(in, in_at, out, out_at, cut(size), flags);
}

/* Linux has closed the descriptor even if it reports an error. */
int close(int fd)
{
	static int (*real)(int);
	int r;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "close");
	if (fd >= 0 && fd < SOCKETS)
		registered[fd].epoll = 0; /* before the number can be given again */
	r = real(fd);
	if (r < 0 || !wanted || wanted->close_error == 0)
		return r;
	atomic_fetch_add(&wanted->closed, 1);
	errno = (int)wanted->close_error;
	return -1;
}
