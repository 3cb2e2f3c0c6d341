/*
 * The journal takes a record as one datagram of FIELD=value lines, see
 * https://systemd.io/JOURNAL_NATIVE_PROTOCOL; values have no newline, so the
 * form without lengths is enough.  sd_journal_send(3) would wait while the
 * journal hangs.  Each record is sent to the socket's path, so that a journal
 * that was gone is found again.  A full queue means that it hangs: then the
 * record is lost, for stderr leads to the same reader.
 *
 * No thread waits for stderr.  O_NONBLOCK belongs to the open file description,
 * which we share with the shell or whoever started us, so setting it on descriptor
 * 2 would change their terminal.  What stderr is decides instead:
 *
 *   socket (journal)   send(MSG_DONTWAIT) asks for this one call only;
 *   pipe or terminal   opened again through /proc, which makes a description
 *                      of our own that can be non-blocking;
 *   anything else      a file, or what another user owns and so cannot be opened
 *                      again: a thread of its own writes, see writer.h.
 */
#include "base/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/writer.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* The line with the counters of very many workers is the longest. */
#define LINE_SIZE 16384

static int sink = STDERR_FILENO;
static size_t max_line = LINE_SIZE; /* a pipe takes no more than PIPE_BUF as a whole */
static bool journal;		    /* stderr leads there */
static int journal_fd = -1;	    /* and so does this, for records */
static _Atomic int max_level = LOG_LEVEL_INFO;
static _Atomic unsigned long lost;
static atomic_bool unflushed; /* something was sent to the journal since log_flush() */

static struct sockaddr_un journal_socket = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };

static bool is_journal(const struct stat *st)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && st->st_dev == dev &&
	       st->st_ino == ino;
}

static void open_sink(const struct stat *st)
{
	int fd = -1;

	if (S_ISSOCK(st->st_mode))
		return;
	if (S_ISFIFO(st->st_mode) || S_ISCHR(st->st_mode))
		fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || S_ISFIFO(st->st_mode))
		max_line = PIPE_BUF;
	if (fd < 0)
		fd = writer_open(STDERR_FILENO);
	if (fd >= 0)
		sink = fd;
}

void log_init(void)
{
	struct stat st;

	if (fstat(STDERR_FILENO, &st) < 0)
		return;
	journal = is_journal(&st);
	if (journal)
		journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	open_sink(&st);
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

static bool emit_line(const char *line, size_t size)
{
	ssize_t n = send(sink, line, size, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno == ENOTSOCK)
		n = write(sink, line, size);
	return n == (ssize_t)size;
}

/* Returns its length; it has room in a line. */
static size_t put_prefix(char *line, int level)
{
	const char *name = level == LOG_LEVEL_ERROR   ? "error: " :
			   level == LOG_LEVEL_WARNING ? "warning: " :
			   level == LOG_LEVEL_DEBUG   ? "debug: " :
							"";
	const char number[] = { '<', (char)('0' + level), '>', '\0' };
	char *at = stpcpy(line, journal ? number : "echod: ");

	if (!journal)
		at = stpcpy(at, name);
	return (size_t)(at - line);
}

/*
 * The length of the character at s if it is well-formed UTF-8 (Unicode, table
 * 3-7) and no control character, neither of ASCII nor of C1; else 0.
 */
static size_t printable_size(const unsigned char *s)
{
	unsigned char least = *s == 0xc2 || *s == 0xe0 ? 0xa0 : *s == 0xf0 ? 0x90 : 0x80;
	unsigned char most = *s == 0xed ? 0x9f : *s == 0xf4 ? 0x8f : 0xbf;
	size_t size = *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : 4;

	if (*s < 0x80)
		return *s >= ' ' && *s != 0x7f;
	if (*s < 0xc2 || *s > 0xf4 || s[1] < least || s[1] > most)
		return 0;
	for (size_t i = 2; i < size; i++)
		if (s[i] < 0x80 || s[i] > 0xbf)
			return 0;
	return size;
}

void log_make_printable(char *s)
{
	while (*s) {
		size_t size = printable_size((unsigned char *)s);

		if (size == 0)
			*s = '?';
		s += size ? size : 1;
	}
}

/* Writes NAME= and returns where the value goes, or NULL if there is no room. */
static char *put_name(struct log_record *r, const char *name)
{
	char *at = r->fields + r->size;

	if (journal_fd < 0 || strlen(name) + strlen("=\n") >= sizeof(r->fields) - r->size)
		return NULL;
	while (*name)
		*at++ = (char)toupper((unsigned char)*name++);
	*at++ = '=';
	return at;
}

/* The value at this place is whole. */
static void end_value(struct log_record *r, char *at)
{
	log_make_printable(at);
	at += strlen(at);
	*at++ = '\n'; /* in the place of the final NUL */
	r->size = (size_t)(at - r->fields);
}

void log_text(struct log_record *r, const char *name, const char *value)
{
	char *at = put_name(r, name);
	size_t n;

	if (!at)
		return;
	n = strnlen(value, (size_t)(r->fields + sizeof(r->fields) - at) - 1);
	memcpy(at, value, n);
	at[n] = '\0';
	end_value(r, at);
}

void log_field(struct log_record *r, const char *name, const char *fmt, ...)
{
	char *at = put_name(r, name);
	va_list ap;
	int n;

	if (!at)
		return;
	va_start(ap, fmt);
	n = vsnprintf(at, (size_t)(r->fields + sizeof(r->fields) - at), fmt, ap);
	va_end(ap);
	if (n >= 0)
		end_value(r, at);
}

void log_errno(struct log_record *r, int error)
{
	log_field(r, "ERRNO", "%d", error);
	log_field(r, "ECHOD_ERROR", "%s", strerrordesc_np(error));
}

static void begin(struct log_record *r, int level)
{
	const char number[] = { (char)('0' + level), '\0' };

	r->level = level;
	r->size = 0;
	log_text(r, "PRIORITY", number);
	log_text(r, "SYSLOG_IDENTIFIER", "echod");
}

void log_begin(struct log_record *r, enum event event)
{
	const struct event_kind *kind = &event_kinds[event];

	begin(r, kind->level);
	log_text(r, "MESSAGE_ID", kind->id);
	log_text(r, "ECHOD_EVENT", kind->name);
}

/* Gives the record and its text, which ends with a newline, to the journal.  0 or -errno. */
static int emit_record(struct log_record *r, char *text, size_t size)
{
	static char name[] = "MESSAGE=";
	struct iovec parts[] = { { r->fields, r->size }, { name, strlen(name) }, { text, size } };
	struct msghdr message = {
		.msg_name = &journal_socket,
		.msg_namelen = sizeof(journal_socket),
		.msg_iov = parts,
		.msg_iovlen = 3,
	};

	atomic_store(&unflushed, true);
	return sendmsg(journal_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Emits the text that stands in the line, which has LINE_SIZE bytes, behind the prefix. */
static bool deliver(struct log_record *r, char *line, size_t prefix)
{
	size_t n;

	n = strnlen(line, max_line - 1);
	line[n] = '\0'; /* perhaps in the middle of a character */
	log_make_printable(line + prefix);
	line[n++] = '\n'; /* in the place of the final NUL */
	if (journal_fd >= 0) {
		int e = emit_record(r, line + prefix, n - prefix);

		if (e == 0 || e == -EAGAIN)
			return e == 0;
	}
	return emit_line(line, n);
}

__attribute__((format(printf, 2, 0))) static bool emit(struct log_record *r, const char *fmt,
						       va_list ap)
{
	char line[LINE_SIZE];
	size_t prefix = put_prefix(line, r->level);

	return vsnprintf(line + prefix, sizeof(line) - prefix, fmt, ap) >= 0 &&
	       deliver(r, line, prefix);
}

void log_end_text(struct log_record *r, const char *text)
{
	char line[LINE_SIZE];
	size_t prefix = put_prefix(line, r->level), n = strnlen(text, LINE_SIZE - prefix - 1);

	memcpy(line + prefix, text, n);
	line[prefix + n] = '\0';
	(void)deliver(r, line, prefix);
}

static bool emit_format(struct log_record *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static bool emit_format(struct log_record *r, const char *fmt, ...)
{
	va_list ap;
	bool done;

	va_start(ap, fmt);
	done = emit(r, fmt, ap);
	va_end(ap);
	return done;
}

static bool emit_lost(unsigned long lines)
{
	struct log_record r;

	log_begin(&r, EVENT_LINES_LOST);
	log_field(&r, "ECHOD_LINES", "%lu", lines);
	return emit_format(&r, "%lu log lines lost: nobody read them", lines);
}

__attribute__((format(printf, 2, 0))) static void end(struct log_record *r, const char *fmt,
						      va_list ap)
{
	int saved_errno = errno;
	unsigned long missing;

	if (!log_enabled((enum log_level)r->level))
		return;
	missing = atomic_exchange(&lost, 0) + writer_lost();
	if (missing && !emit_lost(missing))
		atomic_fetch_add(&lost, missing);
	if (!emit(r, fmt, ap))
		atomic_fetch_add(&lost, 1);
	errno = saved_errno;
}

void log_end(struct log_record *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	end(r, fmt, ap);
	va_end(ap);
}

/*
 * That a record has left the queue does not yet mean that the journal has
 * looked for its sender.  So an empty datagram, which the journal ignores, goes
 * behind: once that is gone too, all before it is done.
 */
void log_flush(int timeout_ms)
{
	struct timespec moment = { .tv_nsec = 100000 };
	int unread;

	writer_flush();
	if (!atomic_exchange(&unflushed, false))
		return;
	(void)sendto(journal_fd, NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL, &journal_socket,
		     sizeof(journal_socket));
	for (int i = 0; i < 10 * timeout_ms; i++) {
		if (ioctl(journal_fd, SIOCOUTQ, &unread) < 0 || unread == 0)
			return;
		nanosleep(&moment, NULL);
	}
}

void log_write(enum log_level level, const char *fmt, ...)
{
	struct log_record r;
	va_list ap;

	if (!log_enabled(level))
		return;
	begin(&r, (int)level);
	va_start(ap, fmt);
	end(&r, fmt, ap);
	va_end(ap);
}
