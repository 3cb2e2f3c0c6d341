/* SPDX-License-Identifier: MIT */
/*
 * O_NONBLOCK belongs to the open file description, which we share with the shell or
 * whatever started us, so setting it on descriptor 2 would change their terminal.  What
 * stderr is decides instead:
 *
 *   socket             send(MSG_DONTWAIT) asks for this one call only;
 *   pipe or terminal   opened again through /proc, which makes a description of our
 *                      own that can be non-blocking;
 *   anything else      write(2) blocks for a file on a server that is gone, and for
 *                      another user's terminal, which we cannot open again.  So lines
 *                      go into a pipe of our own, which never blocks, and one thread
 *                      copies them from there.  While it is blocked, the pipe fills,
 *                      and further lines are lost.
 */
#include "base/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"

/* Of the pipe, where the kernel allows it: thousands of lines in a burst. */
#define QUEUE_SIZE (1 << 20)

#define FLUSH_MS 500

static int sink = STDERR_FILENO;
static int queue = -1; /* the end of the pipe that the thread reads from */
static void (*on_start)(void);
static bool running;
static atomic_bool writing; /* what was taken out of the pipe is not written yet */
static _Atomic unsigned long lost;

size_t writer_open(mode_t mode, size_t size)
{
	int fd = -1, ends[2];

	if (S_ISSOCK(mode))
		return size;
	if (S_ISFIFO(mode) || S_ISCHR(mode))
		fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0) {
		fd = ends[1];
		queue = ends[0];
		(void)fcntl(fd, F_SETPIPE_SZ, QUEUE_SIZE);
	}
	if (fd >= 0)
		sink = fd;
	/* A pipe takes no more than PIPE_BUF as a whole. */
	return queue < 0 && S_ISCHR(mode) ? size : PIPE_BUF;
}

bool writer_write(const char *line, size_t size)
{
	ssize_t n = send(sink, line, size, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno == ENOTSOCK)
		n = write(sink, line, size);
	return n == (ssize_t)size;
}

static bool has_lines(int timeout_ms)
{
	struct pollfd p = { .fd = queue, .events = POLLIN };

	return poll(&p, 1, timeout_ms) > 0;
}

/* Writes what is in the pipe, which may block, and counts the lines that stderr refuses. */
static void write_queue(void)
{
	char text[16384];
	ssize_t size, at = 0, n;

	atomic_store(&writing, true); /* before the pipe is empty, see is_idle() */
	size = read(queue, text, sizeof(text));
	while (at < size && (n = write(STDERR_FILENO, text + at, (size_t)(size - at))) >= 0)
		at += n;
	for (; at < size; at++)
		if (text[at] == '\n')
			atomic_fetch_add(&lost, 1);
	atomic_store(&writing, false);
}

static void *run(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "log");
	if (on_start)
		on_start();
	for (;;) {
		(void)has_lines(-1);
		write_queue();
	}
	return NULL;
}

int writer_start(void (*begin)(void))
{
	int e;

	if (queue < 0)
		return 0;
	on_start = begin;
	e = thread_start(NULL, run, NULL);
	running = e == 0;
	return e;
}

static bool is_idle(void)
{
	return !has_lines(0) && !atomic_load(&writing);
}

void writer_flush(void)
{
	struct timespec moment = { .tv_nsec = 1000000 };

	if (queue < 0)
		return;
	if (!running && writer_start(NULL) < 0)
		while (has_lines(0))
			write_queue();
	for (int i = 0; i < FLUSH_MS && !is_idle(); i++)
		nanosleep(&moment, NULL);
}

unsigned long writer_lost(void)
{
	return atomic_exchange(&lost, 0);
}
