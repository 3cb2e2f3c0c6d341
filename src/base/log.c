/* SPDX-License-Identifier: MIT */
/*
 * The journal takes a record as one datagram of FIELD=value lines, see
 * https://systemd.io/JOURNAL_NATIVE_PROTOCOL; values have no newline, so the form
 * without lengths is enough.  sd_journal_send(3) would wait while the journal hangs.
 * Each record is sent to the socket's path, so that a journal that was gone is found
 * again.  A full queue means that it hangs: then the record is lost, for stderr leads to
 * the same reader.
 */
#include "base/log.h"

#include <ctype.h>
#include <errno.h>
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

/* One line and its record, as they are put together. */
struct record {
	size_t size;   /* of the fields so far */
	size_t prefix; /* the text's place in the line */
	char fields[4096];
	char line[LINE_SIZE];
};

const char *const log_level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

static size_t max_line = LINE_SIZE; /* see writer_open() */
static bool journal;		    /* stderr leads there */
static int journal_fd = -1;	    /* and so does this, for records */
static _Atomic enum log_level max_level = LOG_LEVEL_INFO;
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

void log_init(void)
{
	struct stat st;

	if (fstat(STDERR_FILENO, &st) < 0)
		return;
	journal = is_journal(&st);
	if (journal)
		journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	max_line = writer_open(st.st_mode, LINE_SIZE);
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&max_level, level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

/* Returns its length; it has room in a line. */
static size_t put_prefix(char *line, enum log_level level)
{
	const char number[] = { '<', (char)('0' + level), '>', '\0' };
	char *at = stpcpy(line, journal ? number : "echod: ");

	if (!journal && level != LOG_LEVEL_INFO)
		at = stpcpy(stpcpy(at, log_level_names[level]), ": ");
	return (size_t)(at - line);
}

/* Unicode, table 3-7, without control characters, neither of ASCII nor of C1. */
static const struct {
	unsigned char first, first_to, second, second_to, size;
} printable[] = {
	{ ' ', '~', 0, 0xff, 1 },      { 0xc2, 0xc2, 0xa0, 0xbf, 2 }, { 0xc3, 0xdf, 0x80, 0xbf, 2 },
	{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 },
	{ 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
	{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
};

static bool is_between(unsigned char byte, unsigned char from, unsigned char to)
{
	return byte >= from && byte <= to;
}

/* The length of the character at s if it is well-formed and printable, else 0. */
static size_t printable_size(const unsigned char *s)
{
	size_t i = 0, size = 2;

	while (!is_between(s[0], printable[i].first, printable[i].first_to) ||
	       !is_between(s[1], printable[i].second, printable[i].second_to))
		if (++i == sizeof(printable) / sizeof(printable[0]))
			return 0;
	while (size < printable[i].size && is_between(s[size], 0x80, 0xbf))
		size++;
	return size < printable[i].size ? 0 : printable[i].size;
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

/* Appends text, of which all that has room in `size` bytes with a NUL.  Returns its end. */
static char *put(char *at, const char *text, size_t size)
{
	size_t n = strnlen(text, size - 1);

	memcpy(at, text, n);
	at[n] = '\0';
	return at + n;
}

char *log_put_number(char *at, uint64_t number)
{
	char digits[24], *first = digits + sizeof(digits) - 1;

	*first = '\0';
	do
		*--first = (char)('0' + number % 10);
	while (number /= 10);
	return stpcpy(at, first);
}

/* Appends NAME=value and a newline, and cuts the value if it is too long. */
static void put_field(struct record *r, const struct log_field *field)
{
	const char *suffix = field->suffix ? field->suffix : "";
	char *name = r->fields + r->size, *end = r->fields + sizeof(r->fields), *value;
	char number[24];

	if (journal_fd < 0 || strlen(field->name) + strlen(suffix) + 2 >= (size_t)(end - name))
		return;
	value = stpcpy(stpcpy(name, field->name), suffix);
	for (char *c = name; c < value; c++)
		*c = (char)toupper((unsigned char)*c);
	*value++ = '=';
	log_put_number(number, field->number);
	put(value, field->text ? field->text : number, (size_t)(end - value));
	log_make_printable(value);
	value += strlen(value);
	*value++ = '\n'; /* in the place of the NUL */
	r->size = (size_t)(value - r->fields);
}

static void put_fields(struct record *r, const struct log_field *fields)
{
	for (; fields && fields->name; fields++)
		put_field(r, fields);
}

static void begin(struct record *r, struct event event, const struct log_field *fields)
{
	r->size = 0;
	r->prefix = put_prefix(r->line, event.level);
	put_fields(r, FIELDS(FIELD_NUMBER("PRIORITY", event.level),
			     FIELD("SYSLOG_IDENTIFIER", "echod")));
	if (event.id)
		put_fields(r,
			   FIELDS(FIELD("MESSAGE_ID", event.id), FIELD("ECHOD_EVENT", event.name)));
	put_fields(r, fields);
}

/* Gives the record and its text, which ends with a newline, to the journal.  0 or -errno. */
static int emit_record(struct record *r, size_t size)
{
	static char name[] = "MESSAGE=";
	struct iovec parts[] = { { r->fields, r->size },
				 { name, strlen(name) },
				 { r->line + r->prefix, size } };
	struct msghdr message = {
		.msg_name = &journal_socket,
		.msg_namelen = sizeof(journal_socket),
		.msg_iov = parts,
		.msg_iovlen = 3,
	};

	atomic_store(&unflushed, true);
	return sendmsg(journal_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Emits what is put together.  False if it is lost. */
static bool deliver(struct record *r)
{
	size_t n = strnlen(r->line, max_line - 1);

	r->line[n] = '\0'; /* perhaps in the middle of a character */
	log_make_printable(r->line + r->prefix);
	r->line[n++] = '\n'; /* in the place of the NUL */
	if (journal_fd >= 0) {
		int e = emit_record(r, n - r->prefix);

		if (e == 0 || e == -EAGAIN)
			return e == 0;
	}
	return writer_write(r->line, n);
}

/* Logs how many lines were lost until now, if any were; r is overwritten. */
static void emit_lost(struct record *r)
{
	unsigned long lines = atomic_exchange(&lost, 0) + writer_lost();

	if (lines == 0)
		return;
	begin(r, EVENT_LINES_LOST, FIELDS(FIELD_NUMBER("ECHOD_LINES", lines)));
	snprintf(r->line + r->prefix, sizeof(r->line) - r->prefix,
		 "%lu log lines lost: the reader of the log was too slow", lines);
	if (!deliver(r))
		atomic_fetch_add(&lost, lines);
}

void log_event(struct event event, const struct log_field *fields, const char *fmt, ...)
{
	int saved_errno = errno;
	struct record r;
	va_list ap;

	if (!log_enabled(event.level))
		return;
	emit_lost(&r);
	begin(&r, event, fields);
	va_start(ap, fmt);
	/* Without wide characters it cannot fail. */
	(void)vsnprintf(r.line + r.prefix, sizeof(r.line) - r.prefix, fmt, ap);
	va_end(ap);
	if (!deliver(&r))
		atomic_fetch_add(&lost, 1);
	errno = saved_errno;
}

void log_event_text(struct event event, const struct log_field *fields, const char *text)
{
	struct record r;

	begin(&r, event, fields);
	put(r.line + r.prefix, text, sizeof(r.line) - r.prefix);
	(void)deliver(&r);
}

/*
 * When a record has left the queue, the journal may not have looked for its sender yet.
 * So an empty datagram, which the journal ignores, follows: once that has left the queue,
 * the journal is done with all before it.
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
