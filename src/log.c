/*
 * How to write to stderr without ever waiting.
 *
 * O_NONBLOCK belongs to the open file description, which we share with the
 * shell or whoever started us, so setting it on descriptor 2 would change
 * their terminal.  What stderr is decides instead:
 *
 *   socket (journal)   send(MSG_DONTWAIT) asks for this one call only;
 *   pipe or terminal   opened again through /proc, which makes a description
 *                      of our own that can be non-blocking;
 *   anything else      a plain write: a regular file does not block.
 *
 * Where the second open is not allowed (another user's pipe), poll(2) says
 * before each write whether a line fits.
 */
#include "log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The line with the counters of very many workers is the longest. */
#define LINE_SIZE 16384

static int sink = STDERR_FILENO;
static bool must_poll;
static size_t max_line = LINE_SIZE; /* a pipe takes no more than PIPE_BUF as a whole */
static bool journal;
static _Atomic int max_level = LOG_LEVEL_INFO;
static _Atomic unsigned long lost;

static bool is_journal(const struct stat *st)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && st->st_dev == dev &&
	       st->st_ino == ino;
}

void log_init(void)
{
	struct stat st;
	int fd;

	if (fstat(STDERR_FILENO, &st) < 0)
		return;
	journal = is_journal(&st);
	if (S_ISFIFO(st.st_mode))
		max_line = PIPE_BUF;
	else if (!S_ISCHR(st.st_mode))
		return;
	fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		must_poll = true;
	else
		sink = fd;
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

static bool has_room(void)
{
	struct pollfd p = { .fd = sink, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

static bool emit(const char *line, size_t size)
{
	ssize_t n = send(sink, line, size, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno == ENOTSOCK && (!must_poll || has_room()))
		n = write(sink, line, size);
	return n == (ssize_t)size;
}

static int put_prefix(char *line, size_t size, enum log_level level)
{
	const char *name = level == LOG_LEVEL_ERROR   ? "error: " :
			   level == LOG_LEVEL_WARNING ? "warning: " :
			   level == LOG_LEVEL_DEBUG   ? "debug: " :
							"";

	return journal ? snprintf(line, size, "<%d>", (int)level) :
			 snprintf(line, size, "echod: %s", name);
}

void log_make_printable(char *s)
{
	for (; *s; s++)
		if (iscntrl((unsigned char)*s))
			*s = '?';
}

__attribute__((format(printf, 2, 0))) static bool emit_line(enum log_level level, const char *fmt,
							    va_list ap)
{
	char line[LINE_SIZE];
	size_t n = (size_t)put_prefix(line, sizeof(line), level);
	int text = vsnprintf(line + n, sizeof(line) - n, fmt, ap);

	if (text < 0)
		return false;
	log_make_printable(line + n);
	n += (size_t)text;
	if (n > max_line - 1)
		n = max_line - 1;
	line[n++] = '\n'; /* in the place of the final NUL, or of what is too much */
	return emit(line, n);
}

static bool emit_format(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static bool emit_format(enum log_level level, const char *fmt, ...)
{
	va_list ap;
	bool done;

	va_start(ap, fmt);
	done = emit_line(level, fmt, ap);
	va_end(ap);
	return done;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	int saved_errno = errno;
	unsigned long missing;
	va_list ap;

	if (!log_enabled(level))
		return;
	missing = atomic_exchange(&lost, 0);
	if (missing &&
	    !emit_format(LOG_LEVEL_WARNING, "%lu log lines lost: nobody read them", missing))
		atomic_fetch_add(&lost, missing);
	va_start(ap, fmt);
	if (!emit_line(level, fmt, ap))
		atomic_fetch_add(&lost, 1);
	va_end(ap);
	errno = saved_errno;
}
