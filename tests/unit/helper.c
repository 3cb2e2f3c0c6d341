/* SPDX-License-Identifier: MIT */
#include "helper.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#define HAVE_LEAK_CHECK 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_LEAK_CHECK 1
#endif
#endif

#ifdef HAVE_LEAK_CHECK
#include <sanitizer/lsan_interface.h>

/*
 * Criterion 2.4 leaks the copy of its --output argument, and LeakSanitizer
 * would end the program for it, with its results still unwritten.
 */
const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
	return "leak:criterion_handle_args\n";
}

const char *__lsan_default_options(void);

const char *__lsan_default_options(void)
{
	return "print_suppressions=0";
}

/*
 * A test's process ends without the check at exit, so it is made here.  With
 * TAP on stdout Criterion sends stderr to /dev/null.
 */
void helper_check_leaks(void)
{
	cr_assert_eq(__lsan_do_recoverable_leak_check(), 0,
		     "memory has leaked: run this program without options to see where");
}
#else
void helper_check_leaks(void)
{
}
#endif

unsigned helper_count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	cr_assert(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 3; /* ".", ".." and the directory's own */
}

struct address helper_address(const char *text)
{
	struct address address;

	cr_assert_eq(address_parse(&address, text), 0, "\"%s\" is not an address", text);
	return address;
}

int helper_listen(struct address *bound, int backlog)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*bound = helper_address("127.0.0.1:0");
	cr_assert_eq(bind(fd, &bound->any, bound->size), 0);
	cr_assert_eq(getsockname(fd, &bound->any, &bound->size), 0);
	cr_assert(backlog < 0 || listen(fd, backlog) == 0);
	return fd;
}

int helper_connect(int listener, int size, int *server)
{
	struct address address = { .size = sizeof(address.v6) };
	int client;

	cr_assert_eq(getsockname(listener, &address.any, &address.size), 0);
	client = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	helper_set_buffers(client, size);
	cr_assert_eq(connect(client, &address.any, address.size), 0);
	helper_wait(listener, POLLIN);
	*server = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	cr_assert_geq(*server, 0);
	return client;
}

int helper_get(int fd, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	cr_assert_eq(getsockopt(fd, level, name, &value, &size), 0);
	return value;
}

void helper_set(int fd, int level, int name, int value)
{
	cr_assert_eq(setsockopt(fd, level, name, &value, sizeof(value)), 0);
}

void helper_set_buffers(int fd, int size)
{
	if (size == 0)
		return;
	helper_set(fd, SOL_SOCKET, SO_SNDBUF, size);
	helper_set(fd, SOL_SOCKET, SO_RCVBUF, size);
}

void helper_reset_on_close(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
}

void helper_wait(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	cr_assert_eq(poll(&p, 1, HELPER_TIMEOUT * 1000), 1, "descriptor %d stays silent", fd);
}

int helper_memory_file(const void *text, size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, text, size, 0), (ssize_t)size);
	return fd;
}

const char *helper_path(int fd)
{
	static char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return path;
}

static int caught;

void helper_catch(int fd)
{
	caught = memfd_create("caught", MFD_CLOEXEC);
	cr_assert_eq(dup2(caught, fd), fd);
}

const char *helper_caught(void)
{
	static char text[1 << 16];
	static off_t at;
	ssize_t n;

	fflush(stdout);
	n = pread(caught, text, sizeof(text) - 1, at);
	cr_assert_geq(n, 0);
	text[n] = '\0';
	at += n;
	return text;
}

/* xorshift64*, of which the upper half is the better one. */
uint32_t helper_random(struct helper_random *random, uint32_t below)
{
	random->state ^= random->state >> 12;
	random->state ^= random->state << 25;
	random->state ^= random->state >> 27;
	return (uint32_t)(random->state * UINT64_C(2685821657736338717) >> 32) % below;
}
