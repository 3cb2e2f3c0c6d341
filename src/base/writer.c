#include "base/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"

/* Of the pipe, where the kernel allows it: thousands of lines in a burst. */
#define QUEUE_SIZE (1 << 20)

#define FLUSH_MS 500

static int target;
static int queue = -1; /* the end to read from */
static bool running;
static atomic_bool writing; /* what was taken out of the pipe is not written yet */
static _Atomic unsigned long lost;

int writer_open(int to)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	(void)fcntl(ends[1], F_SETPIPE_SZ, QUEUE_SIZE);
	target = to;
	queue = ends[0];
	return ends[1];
}

static bool has_lines(int timeout_ms)
{
	struct pollfd p = { .fd = queue, .events = POLLIN };

	return poll(&p, 1, timeout_ms) > 0;
}

static void write_lines(const char *text, size_t size)
{
	while (size > 0) {
		ssize_t n = write(target, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		text += n;
		size -= (size_t)n;
	}
	for (const char *end; (end = memchr(text, '\n', size)); text = end + 1) {
		atomic_fetch_add(&lost, 1);
		size -= (size_t)(end + 1 - text);
	}
}

/* Writes what is in the pipe, which may block. */
static void write_queue(void)
{
	char text[16384];
	ssize_t n;

	atomic_store(&writing, true); /* before the pipe is empty, see is_idle() */
	n = read(queue, text, sizeof(text));
	if (n > 0)
		write_lines(text, (size_t)n);
	atomic_store(&writing, false);
}

static void *run(void *arg)
{
	void (*const *begin)(void) = arg;

	pthread_setname_np(pthread_self(), "log");
	if (*begin)
		(*begin)();
	for (;;) {
		(void)has_lines(-1);
		write_queue();
	}
	return NULL;
}

int writer_start(void (*begin)(void))
{
	static void (*first)(void);
	pthread_t thread;
	int e;

	if (queue < 0)
		return 0;
	first = begin;
	e = thread_start(&thread, run, &first);
	if (e == 0)
		pthread_detach(thread);
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
