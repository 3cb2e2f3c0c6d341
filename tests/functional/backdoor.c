/*
 * backdoor: a library that lets a client of echod say which system calls a thread
 * of it makes, as if the client had taken it over.
 *
 * With LD_PRELOAD it stands between echod and the C library.  A message
 * "!THREAD CALL ARGUMENT..." is an order, in numbers of the architecture's own, for
 * a thread by name; CALL can also be one of the faults below.  A worker obeys at
 * once and echoes the result in the message's place, others obey when they wake up.
 */
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t __recv_chk(int fd, void *buffer, size_t n, size_t size, int flags);
extern void __stack_chk_fail(void);
extern void __assert_fail(const char *text, const char *file, unsigned line, const char *function);

struct order {
	char thread[16];
	char call[16];
	long arguments[6];
};

static struct order waiting;
static atomic_bool given; /* waiting is whole */

static int (*next_accept4)(int, struct sockaddr *, socklen_t *, int);
static int (*next_poll)(struct pollfd *, nfds_t, int);
static int (*next_sigwait)(const sigset_t *, int *);

__attribute__((constructor)) static void find_next(void)
{
	*(void **)&next_accept4 = dlsym(RTLD_NEXT, "accept4");
	*(void **)&next_poll = dlsym(RTLD_NEXT, "poll");
	*(void **)&next_sigwait = dlsym(RTLD_NEXT, "sigwait");
}

/* A system call of the 32-bit architecture, getpid(2) there. */
static long call_foreign(void)
{
	long r = -ENOSYS;

#ifdef __x86_64__
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory");
#endif
	return r;
}

static void free_what_is_none(void)
{
	char *volatile p = malloc(2000);
	char *volatile q = p + 16;

	free(q);
}

static long obey(const struct order *o)
{
	const long *a = o->arguments;
	long r;

	if (strcmp(o->call, "abort") == 0)
		abort();
	if (strcmp(o->call, "assert") == 0)
		__assert_fail("backdoor", "backdoor.c", 1, "obey");
	if (strcmp(o->call, "smash") == 0)
		__stack_chk_fail();
	if (strcmp(o->call, "corrupt") == 0)
		free_what_is_none();
	if (strcmp(o->call, "foreign") == 0)
		return call_foreign();
	r = syscall(atol(o->call), a[0], a[1], a[2], a[3], a[4], a[5]);
	return r < 0 ? -errno : r;
}

static void obey_if_named(const char *thread)
{
	if (atomic_load(&given) && strcmp(waiting.thread, thread) == 0) {
		atomic_store(&given, false);
		obey(&waiting);
	}
}

/* Takes an order out of a message, and puts the result there. */
static void look(char *buffer, ssize_t n)
{
	char text[256] = "", result[256];
	struct order o = { .arguments = { 0 } };
	long *a = o.arguments;

	if (n < 2 || n >= (ssize_t)sizeof(text) || buffer[0] != '!')
		return;
	memcpy(text, buffer + 1, (size_t)n - 1);
	if (sscanf(text, "%15s %15s %li %li %li %li %li %li", o.thread, o.call, &a[0], &a[1], &a[2],
		   &a[3], &a[4], &a[5]) < 2)
		return;
	if (strcmp(o.thread, "worker") == 0) {
		snprintf(result, sizeof(result), "%-*ld", (int)n, obey(&o));
		memcpy(buffer, result, (size_t)n);
	} else {
		waiting = o;
		atomic_store(&given, true);
	}
}

ssize_t recv(int fd, void *buffer, size_t n, int flags)
{
	ssize_t got = syscall(SYS_recvfrom, fd, buffer, n, flags, NULL, NULL);

	if (!(flags & (MSG_PEEK | MSG_TRUNC)))
		look(buffer, got);
	return got;
}

ssize_t __recv_chk(int fd, void *buffer, size_t n, size_t size, int flags)
{
	(void)size;
	return recv(fd, buffer, n, flags);
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	obey_if_named("acceptor");
	return next_accept4(fd, address, size, flags);
}

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	int r = next_poll(fds, n, timeout);

	if (getpid() == (pid_t)syscall(SYS_gettid))
		obey_if_named("echod");
	return r;
}

int sigwait(const sigset_t *set, int *signal_number)
{
	int r = next_sigwait(set, signal_number);

	obey_if_named("rescue");
	return r;
}
