/* SPDX-License-Identifier: MIT */
/*
 * backdoor: a library that lets a client of echod say which system calls a thread
 * of it makes, as if the client had taken it over.
 *
 * With LD_PRELOAD it stands between echod and the C library.  A message
 * "!THREAD CALL ARGUMENT..." is an order, in numbers of the architecture's own, for
 * a thread by name; CALL can also be one of the faults below.  A worker obeys at
 * once and echoes the result in the message's place, others obey when they wake up;
 * their result comes in the place of a message "?", as soon as there is one.
 *
 * With SURPRISE="THREAD CALL ARGUMENT..." in the environment it is a library that
 * makes an unexpected call: before each close(2) and abort(3) of that thread.
 * Standard error tells what came of it.
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
static long result;	  /* of the last order that was not a worker's */
static atomic_bool obeyed;

static struct order surprise;
static _Thread_local const char *self;

static int (*next_accept4)(int, struct sockaddr *, socklen_t *, int);
static int (*next_poll)(struct pollfd *, nfds_t, int);
static int (*next_sigwait)(const sigset_t *, int *);
static int (*next_close)(int);
static void (*next_abort)(void);

static bool read_order(struct order *o, const char *text)
{
	long *a = o->arguments;

	*o = (struct order){ .arguments = { 0 } };
	return sscanf(text, "%15s %15s %li %li %li %li %li %li", o->thread, o->call, &a[0], &a[1],
		      &a[2], &a[3], &a[4], &a[5]) >= 2;
}

__attribute__((constructor)) static void start(void)
{
	const char *text = getenv("SURPRISE");

	if (text)
		read_order(&surprise, text);
	self = "echod";
	*(void **)&next_close = dlsym(RTLD_NEXT, "close");
	*(void **)&next_abort = dlsym(RTLD_NEXT, "abort");
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

static bool obey_if_named(void)
{
	if (!self || !atomic_load(&given) || strcmp(waiting.thread, self) != 0)
		return false;
	atomic_store(&given, false);
	result = obey(&waiting);
	atomic_store(&obeyed, true);
	return true;
}

static void be_surprising(void)
{
	char text[64];
	long r;
	int n;

	if (!self || strcmp(surprise.thread, self) != 0)
		return;
	r = obey(&surprise);
	n = snprintf(text, sizeof(text), "an unexpected call gave %ld\n", r);
	write(STDERR_FILENO, text, (size_t)n);
}

/* Takes an order out of a message, and puts the result there. */
static void look(char *buffer, ssize_t n)
{
	char text[256] = "", answer[256];
	struct order o;

	if (n < 2 || n >= (ssize_t)sizeof(text))
		return;
	memcpy(text, buffer + 1, (size_t)n - 1);
	*answer = '\0';
	if (buffer[0] == '?' && atomic_load(&obeyed)) {
		snprintf(answer, sizeof(answer), "%-*ld", (int)n, result);
	} else if (buffer[0] == '!' && read_order(&o, text)) {
		if (strcmp(o.thread, self) == 0) {
			snprintf(answer, sizeof(answer), "%-*ld", (int)n, obey(&o));
		} else {
			waiting = o;
			atomic_store(&obeyed, false);
			atomic_store(&given, true);
		}
	}
	if (*answer)
		memcpy(buffer, answer, (size_t)n);
}

ssize_t recv(int fd, void *buffer, size_t n, int flags)
{
	ssize_t got = syscall(SYS_recvfrom, fd, buffer, n, flags, NULL, NULL);

	self = "worker";
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
	self = "acceptor";
	obey_if_named();
	return next_accept4(fd, address, size, flags);
}

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	int r = next_poll(fds, n, timeout);

	obey_if_named();
	return r;
}

/* A signal that comes with an order is for us. */
int sigwait(const sigset_t *set, int *signal_number)
{
	int r;

	self = "rescue";
	do
		r = next_sigwait(set, signal_number);
	while (obey_if_named());
	return r;
}

int close(int fd)
{
	be_surprising();
	return next_close(fd);
}

void abort(void)
{
	be_surprising();
	next_abort();
	__builtin_unreachable();
}
