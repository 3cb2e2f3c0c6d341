/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/writer.h"
#include "helper.h"

#define PAGE 4096
#define FIELDS_SIZE 4096 /* of one record */

static char text[1 << 20]; /* what was read last */

/* The journal: it is not there unless a test has one. */
static int journal_error = ENOENT;
static char journal[1 << 20];
static size_t journal_size;

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	const struct sockaddr_un *address = message->msg_name;
	size_t before = journal_size;

	cr_assert_geq(fd, 3);
	cr_assert_str_eq(address->sun_path, "/run/systemd/journal/socket");
	cr_assert_eq(flags, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (journal_error) {
		errno = journal_error;
		return -1;
	}
	for (size_t i = 0; i < message->msg_iovlen; i++) {
		memcpy(journal + journal_size, message->msg_iov[i].iov_base,
		       message->msg_iov[i].iov_len);
		journal_size += message->msg_iov[i].iov_len;
	}
	journal[journal_size] = '\0';
	return (ssize_t)(journal_size - before);
}

static void check_journal(const char *expected)
{
	cr_assert_str_eq(journal, expected, "the journal has: %s", journal);
	journal_size = 0;
	journal[0] = '\0';
}

static void give_up(int signal)
{
	(void)signal;
	_exit(99);
}

/* Nothing here waits: after seconds without an end, something does. */
static void begin(void)
{
	signal(SIGALRM, give_up);
	signal(SIGPIPE, SIG_IGN); /* as the server does */
	alarm(20);
}

static void become_stderr(int fd)
{
	cr_assert_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	close(fd);
}

/* Also after a failure, whose report must not wait for a reader. */
static void end(void)
{
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
	become_stderr(open("/dev/null", O_WRONLY));
}

TestSuite(log, .init = begin, .fini = end, .timeout = HELPER_TIMEOUT);

#define PIPE 0

/*
 * Puts one end of a pair of sockets of this type, or of a pipe, in the place of stderr.
 * Returns the other one, which does not block.
 */
static int catch_by(int type)
{
	int fds[2];

	cr_assert_eq(type == PIPE ? pipe(fds) : socketpair(AF_UNIX, type, 0, fds), 0);
	become_stderr(fds[1]);
	cr_assert_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	return fds[0];
}

/* Puts a file there; what is written to it can be read after log_flush(). */
static int catch_by_file(void)
{
	int fd = helper_memory_file("", 0), copy = dup(fd);

	become_stderr(copy);
	return fd;
}

/* Reads what is there now, behind size bytes. */
static void hear_more(int fd, size_t *size)
{
	ssize_t n;

	while ((n = read(fd, text + *size, sizeof(text) - 1 - *size)) > 0)
		*size += (size_t)n;
	text[*size] = '\0';
}

static const char *heard(int fd)
{
	size_t size = 0;

	hear_more(fd, &size);
	return text;
}

static void check_heard(int fd, const char *expected)
{
	log_flush(0);
	cr_assert_str_eq(heard(fd), expected, "heard: %s", text);
}

/* The caller's errno stays, whatever becomes of the line. */
static void say(const char *line)
{
	errno = ECHILD;
	log_info("%s", line);
	cr_assert_eq(errno, ECHILD);
}

static void say_many(void)
{
	for (int i = 0; i < 10000; i++)
		say("a line of some length, of which very many fill anything");
}

static void say_each_level(void)
{
	log_set_level(LOG_LEVEL_DEBUG);
	log_error("%d", 1);
	log_warning("%s", "two");
	log_info("%c%d", 't', 3);
	log_debug("four");
}

static const char *const as_text = "echod: error: 1\n"
				   "echod: warning: two\n"
				   "echod: t3\n"
				   "echod: debug: four\n";

/* Sets JOURNAL_STREAM to what stderr is, or to something beside it. */
static void set_journal_stream(unsigned long long beside)
{
	struct stat st;
	char value[64];

	cr_assert_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(value, sizeof(value), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino + beside);
	setenv("JOURNAL_STREAM", value, 1);
}

/* An event that the tests take for an example. */
static void say_kept(void)
{
	errno = ECHILD;
	log_event(EVENT_OPTION_KEPT,
		  FIELDS(FIELD("ECHOD_OPTION", "workers"),
			 FIELD_COUNTER("ECHOD_lower_", "2", UINT64_MAX), FIELD_ERRNO(EADDRINUSE)),
		  "%s stays", "workers");
	cr_assert_eq(errno, ECHILD);
}

/*
 * A line says whose it is and how bad, before log_init(), and wherever JOURNAL_STREAM
 * does not name stderr; an event is a line as any other.
 */
TEST(log, text)
{
	static const char *const values[] = { "", "1", ":", "a:b", "1:", "-1:-1" };
	int in = catch_by(PIPE);

	say_each_level();
	say_kept();
	cr_assert(strstr(heard(in), as_text));
	cr_assert(strstr(text, "debug: four\nechod: warning: workers stays\n"));
	for (size_t i = 0; i <= COUNT(values); i++) {
		set_journal_stream(1);
		if (i < COUNT(values))
			setenv("JOURNAL_STREAM", values[i], 1);
		log_init();
		say_each_level();
		check_heard(in, as_text);
	}
	say_kept();
	check_heard(in, "echod: warning: workers stays\n");
}

/* Where JOURNAL_STREAM names stderr, the journal learns the level, also from lines. */
TEST(log, journal_stream)
{
	static const int types[] = { SOCK_STREAM, PIPE };

	for (size_t i = 0; i < COUNT(types); i++) {
		int in = catch_by(types[i]);

		set_journal_stream(0);
		log_init();
		say_each_level();
		check_heard(in, "<3>1\n<4>two\n<6>t3\n<7>four\n");
	}
}

#define ECHOD "SYSLOG_IDENTIFIER=echod\n"

static const char *kept(const char *rest)
{
	static char record[8192];

	snprintf(record, sizeof(record),
		 "PRIORITY=4\n" ECHOD "MESSAGE_ID=%s\nECHOD_EVENT=option_kept\n%s",
		 EVENT_OPTION_KEPT.id, rest);
	return record;
}

/* A journal that takes records, unless error is not 0, and a pipe for what is not one. */
static int catch_by_journal(int error)
{
	int in = catch_by(PIPE);

	set_journal_stream(0);
	journal_error = error;
	log_init();
	return in;
}

/* To the journal each line is a record, with its kind, level and fields; stderr gets nothing. */
TEST(log, records)
{
	int in = catch_by_journal(0);

	say_each_level();
	check_journal("PRIORITY=3\n" ECHOD "MESSAGE=1\n"
		      "PRIORITY=4\n" ECHOD "MESSAGE=two\n"
		      "PRIORITY=6\n" ECHOD "MESSAGE=t3\n"
		      "PRIORITY=7\n" ECHOD "MESSAGE=four\n");
	say_kept();
	check_journal(kept("ECHOD_OPTION=workers\n"
			   "ECHOD_LOWER_2=18446744073709551615\n"
			   "ERRNO=98\n"
			   "ECHOD_ERROR=Address already in use\n"
			   "MESSAGE=workers stays\n"));
	log_event(EVENT_OPTION_KEPT, NULL, "%d", 2);
	check_journal(kept("MESSAGE=2\n"));
	log_event(EVENT_OPTION_KEPT, /* no value makes a line, and so a field, of its own */
		  FIELDS(FIELD("ECHOD_OPTION", "a\nPRIORITY=0\r\1"), FIELD("ECHOD_EMPTY", "")),
		  "%s", "b\nPRIORITY=0\n\n");
	check_journal(kept("ECHOD_OPTION=a?PRIORITY=0??\nECHOD_EMPTY=\nMESSAGE=b?PRIORITY=0??\n"));
	log_set_level(LOG_LEVEL_ERROR);
	say_kept();
	check_journal("");
	check_heard(in, "");
}

/* What has no room is cut or left out, and the rest is as it should be. */
TEST(log, long_record)
{
	static char value[5001];
	char *option = journal;

	catch_by_journal(0);
	log_event(EVENT_OPTION_KEPT, NULL, "x");
	option += journal_size - strlen("MESSAGE=x\n");
	memset(value, 'v', sizeof(value) - 1);
	for (size_t size = 3700; size < 5000; size++) {
		size_t room = FIELDS_SIZE - (size_t)(option - journal) - strlen("ECHOD_OPTION=\n");
		size_t expected = size < room ? size : room;
		bool second = size + strlen("ECHOD_SECOND=\n") < room;

		journal_size = 0;
		log_event(EVENT_OPTION_KEPT,
			  FIELDS(FIELD("ECHOD_OPTION", value + sizeof(value) - 1 - size),
				 FIELD_NUMBER("ECHOD_SECOND", 2)),
			  "text");
		cr_assert_eq(strncmp(option, "ECHOD_OPTION=v", 14), 0);
		cr_assert_eq(strspn(option + 13, "v"), expected, "of %zu", size);
		cr_assert_str_eq(option + 13 + expected,
				 second ? "\nECHOD_SECOND=2\nMESSAGE=text\n" : "\nMESSAGE=text\n");
	}
}

/* What a signal handler says is a record as any other, whatever the level and the characters. */
TEST(log, record_without_formats)
{
	static char value[20001];
	int in = catch_by_journal(0);
	const struct log_field *fields =
		FIELDS(FIELD("ECHOD_OPTION", value), FIELD("ECHOD_SECOND", ""));

	log_set_level(LOG_LEVEL_ERROR);
	log_event_text(EVENT_OPTION_KEPT, FIELDS(FIELD("ECHOD_option", "%s\nPRIORITY=0")),
		       "%s\nstays");
	check_journal(kept("ECHOD_OPTION=%s?PRIORITY=0\nMESSAGE=%s?stays\n"));
	memset(value, 'v', sizeof(value) - 1);
	log_event_text(EVENT_OPTION_KEPT, fields, value);
	cr_assert_eq(strstr(journal, "v\nMESSAGE=v") + 2 - journal, FIELDS_SIZE);
	check_heard(in, "");
	journal_error = ENOENT;
	log_event_text(EVENT_OPTION_KEPT, fields, value);
	cr_assert_eq(strlen(heard(in)), PIPE_BUF);
	cr_assert_eq(strncmp(text, "<4>v", 4), 0);
	cr_assert_str_eq(text + PIPE_BUF - 2, "v\n");
}

/* A journal that takes no more: lines are lost, counted and reported, as with any reader. */
TEST(log, journal_hangs)
{
	int in = catch_by_journal(EAGAIN);
	char expected[512];

	say_kept();
	log_info("lost");
	check_journal("");
	journal_error = 0;
	log_info("next");
	snprintf(expected, sizeof(expected),
		 "PRIORITY=4\n" ECHOD "MESSAGE_ID=%s\nECHOD_EVENT=lines_lost\nECHOD_LINES=2\n"
		 "MESSAGE=2 log lines lost: the reader of the log was too slow\n"
		 "PRIORITY=6\n" ECHOD "MESSAGE=next\n",
		 EVENT_LINES_LOST.id);
	check_journal(expected);
	log_info("next");
	check_journal("PRIORITY=6\n" ECHOD "MESSAGE=next\n");
	check_heard(in, "");
}

/* What its socket cannot take, as none is there, goes to its stream; then to the socket again. */
TEST(log, journal_is_gone)
{
	static const int errors[] = { ENOENT, ECONNREFUSED, EMSGSIZE, EACCES, ENOBUFS };
	int in = catch_by_journal(0);

	for (size_t i = 0; i < COUNT(errors); i++) {
		journal_error = errors[i];
		say_kept();
		check_heard(in, "<4>workers stays\n");
		check_journal("");
		journal_error = 0;
		say("x");
		check_heard(in, "");
		check_journal("PRIORITY=6\n" ECHOD "MESSAGE=x\n");
	}
}

static int evaluated(int *count)
{
	return ++*count;
}

/*
 * Each level lets through itself and what is worse, at first all but debug; of a debug
 * line that is not written not even the arguments are evaluated.
 */
TEST(log, levels)
{
	static const enum log_level levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO,
						 LOG_LEVEL_DEBUG };
	int in = catch_by(PIPE), count = 0;

	log_init();
	cr_assert(log_enabled(LOG_LEVEL_INFO));
	log_debug("%d", evaluated(&count));
	check_heard(in, "");
	cr_assert_eq(count, 0);
	for (int set = 0; set < 4; set++) {
		log_set_level(levels[set]);
		for (int level = 0; level < 4; level++) {
			LOG_LINE(levels[level], "x");
			cr_expect_eq(*heard(in) != '\0', level <= set);
			cr_expect_eq(log_enabled(levels[level]), level <= set);
		}
	}
	log_debug("%d", evaluated(&count));
	cr_assert_eq(count, 1);
}

/* Whatever a name contains, a call is one line, and no single byte above 127 stays. */
TEST(log, one_line)
{
	int in = catch_by(PIPE);
	char name[256] = "", expected[300] = "echod: ", *at = expected + strlen(expected);

	for (int i = 1; i < 256; i++) {
		name[i - 1] = (char)(i < 128 ? i : 383 - i); /* none continues the one before */
		*at++ = i < 32 || i >= 127 ? '?' : (char)i;
	}
	*at = '\n';
	log_init();
	say(name);
	check_heard(in, expected);
	say("a\nb\r<3>c\033[1m");
	check_heard(in, "echod: a?b?<3>c?[1m\n");
	say("");
	check_heard(in, "echod: \n");
}

/* The first and the last character of each size stay; what is no character does not. */
TEST(log, utf8)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "m\xfcnchen", "m?nchen" },
		{ "\xc2\xa0 \xdf\xbf", NULL },
		{ "\xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf", NULL },
		{ "\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf", NULL },
		{ "\xc2\x9b"
		  "1m \xc2\x80 \xc2\x9f",
		  "??1m ?? ??" },				   /* C1 */
		{ "\xc0\xaf \xc1\xbf \xe0\x9f\xbf", "?? ?? ???" }, /* too long */
		{ "\xf0\x8f\xbf\xbf", "????" },
		{ "\xed\xa0\x80 \xf4\x90\x80\x80", "??? ????" }, /* not in Unicode */
		{ "\xf5\x80\x80\x80 \xff", "???? ?" },
		{ "\xe2\x82", "??" }, /* ends too early */
		{ "\xe2\x82x\xf0\x9f\x98", "??x???" },
		{ "\xc3\xc3\xbc", "?\xc3\xbc" },
	};
	int in = catch_by(PIPE);

	log_init();
	for (size_t i = 0; i < COUNT(cases); i++) {
		char expected[64];

		snprintf(expected, sizeof(expected), "echod: %s\n",
			 cases[i].expected ? cases[i].expected : cases[i].text);
		say(cases[i].text);
		check_heard(in, expected);
	}
}

/* Where a line is cut, no half of a character stays. */
TEST(log, cut_character)
{
	static char name[8001];
	int in = catch_by(PIPE);

	log_init();
	memset(name, 'x', sizeof(name) - 1);
	for (int i = 4000; i < 7998; i += 3)
		memcpy(name + i, "\xe2\x82\xac", 3);
	for (int i = 0; i < 3; i++) {
		say(name + i);
		cr_assert_eq(strlen(heard(in)), PIPE_BUF);
		cr_assert(text[PIPE_BUF - 2] == '?' || text[PIPE_BUF - 2] == '\xac');
	}
}

/*
 * A line that is too long is cut, and still ends as a line: into a pipe goes no more than
 * it takes as a whole, see pipe(7).  A regular file gets every line.
 */
static void check_long_lines(int in, bool is_file)
{
	static char name[PIPE_BUF + 21];

	memset(name, 'x', sizeof(name) - 1);
	for (size_t size = PIPE_BUF - 20; size < PIPE_BUF + 20; size++) {
		const char *line;

		cr_assert(!is_file || ftruncate(in, 0) == 0);
		say(name + sizeof(name) - 1 - size);
		log_flush(0);
		cr_assert(!is_file || lseek(in, 0, SEEK_SET) == 0);
		line = heard(in);
		cr_assert_eq(strcspn(line, "\n"), strlen(line) - 1);
		cr_assert_eq(strlen(line), size < PIPE_BUF - 8 ? size + 8 : PIPE_BUF);
		cr_assert(!is_file || lseek(in, 0, SEEK_SET) == 0);
	}
}

TEST(log, long_lines)
{
	int in = catch_by(PIPE);

	log_init();
	check_long_lines(in, false);
}

TEST(log, file)
{
	int in = catch_by_file();

	log_init();
	say_each_level();
	log_flush(0);
	cr_assert_eq(lseek(in, 0, SEEK_SET), 0);
	check_heard(in, as_text);
	cr_assert_eq(lseek(in, 0, SEEK_SET), 0);
	check_long_lines(in, true);
}

/*
 * Without a reader the call returns all the same, the lines are counted, and the next
 * that gets through says how many there were, once.  The flags of stderr, whose open file
 * is also that of others, stay as they are.
 */
TEST(log, full)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, PIPE };

	for (size_t i = 0; i < COUNT(types); i++) {
		int in = catch_by(types[i]), flags = fcntl(STDERR_FILENO, F_GETFL), n = 0;
		char expected[128];

		log_init();
		say_many();
		for (const char *line = heard(in); *line; line = strchr(line, '\n') + 1)
			n++;
		cr_assert_lt(n, 10000, "it was never full");
		say("next");
		snprintf(expected, sizeof(expected),
			 "echod: warning: %d log lines lost: the reader of the log was too "
			 "slow\nechod: next\n",
			 10000 - n);
		check_heard(in, expected);
		say("next");
		check_heard(in, "echod: next\n");
		cr_assert_eq(fcntl(STDERR_FILENO, F_GETFL), flags);
		cr_assert_not(flags & O_NONBLOCK);
	}
}

/* With a reader that is gone lines are lost and counted, nothing else. */
TEST(log, reader_is_gone)
{
	int in = catch_by(PIPE), again;

	log_init();
	again = open("/proc/self/fd/2", O_RDONLY | O_NONBLOCK);
	cr_assert_geq(again, 0);
	close(in);
	log_info("heard");
	check_heard(again, "echod: heard\n");
	close(again);
	say("lost");
	say("lost");
	again = open("/proc/self/fd/2", O_RDONLY | O_NONBLOCK);
	log_info("next");
	check_heard(again, "echod: warning: 2 log lines lost: the reader of the log was too "
			   "slow\nechod: next\n");
}

/* Without any stderr logging does nothing. */
TEST(log, no_stderr)
{
	close(STDERR_FILENO);
	log_init();
	say("x");
}

/* Makes the pipe at stderr one that we may not open again, as another user's. */
static void forbid_second_open(void)
{
	int fd;

	cr_assert_eq(fchmod(STDERR_FILENO, 0), 0);
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0);
	fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK);
	if (fd >= 0)
		cr_skip_test("nothing is forbidden here");
}

/* A line that does not fit is lost as a whole, and no half of it spoils the next. */
TEST(log, long_line_into_almost_full_pipe)
{
	static char name[2 * PAGE + 1], page[PAGE];
	int in = catch_by(PIPE);

	if (fcntl(in, F_SETPIPE_SZ, 4 * PAGE) != 4 * PAGE)
		cr_skip_test("pages have another size here");
	for (int i = 0; i < 3; i++)
		cr_assert_eq(write(STDERR_FILENO, page, PAGE), PAGE);
	log_init();
	memset(name, 'x', sizeof(name) - 1);
	say(name);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(read(in, page, PAGE), PAGE);
	heard(in);
	cr_expect(*text == '\0' || text[strlen(text) - 1] == '\n', "half a line");
	say("next");
	cr_assert(strncmp(heard(in), "echod: ", 7) == 0);
}

#define THREADS 4
#define LINES 10000

static int n_heard, n_lost;

/* Takes the whole lines out of text, of which size bytes are there. */
static void count_lines(size_t *size)
{
	static int last[THREADS] = { -1, -1, -1, -1 };
	char *line = text, *next;

	for (; (next = strchr(line, '\n')); line = next + 1) {
		int name, number, end = 0;

		*next = '\0';
		if (sscanf(line,
			   "echod: warning: %d log lines lost: the reader of the log was too "
			   "slow%n",
			   &number, &end) == 1) {
			n_lost += number;
		} else {
			cr_assert_eq(sscanf(line, "echod: thread%1d %d%n", &name, &number, &end), 2,
				     "%s", line);
			cr_assert(name < THREADS && number > last[name], "%s", line);
			last[name] = number;
			n_heard++;
		}
		cr_assert_str_empty(line + end);
	}
	*size = strlen(line);
	memmove(text, line, *size + 1);
}

/*
 * What cannot be opened again, as another user's pipe, does not block either: the
 * writer waits for its reader, and each line is heard or counted as lost.
 */
TEST(log, full_forbidden_pipe)
{
	int in = catch_by(PIPE), said = 0;
	size_t size = 0;

	forbid_second_open();
	log_init();
	cr_assert_eq(writer_start(NULL), 0);
	while (said < 100000 || n_heard + n_lost < said) {
		log_info("thread0 %d", said++);
		if (said < 100000)
			continue;
		helper_wait(in, POLLIN);
		hear_more(in, &size);
		count_lines(&size);
	}
	cr_assert_gt(n_lost, 0, "it was never full");
	end();
}

static _Atomic int finished;

static void *say_from_thread(void *name)
{
	for (int i = 0; i < LINES; i++)
		log_info("%s %d", (const char *)name, i);
	finished++;
	return NULL;
}

/*
 * Threads that log faster than anyone reads: lines are whole, each thread's in
 * their order, and each one is either heard or counted.
 */
TEST(log, threads)
{
	static char names[THREADS][8] = { "thread0", "thread1", "thread2", "thread3" };
	pthread_t threads[THREADS];
	int in = catch_by(PIPE);
	size_t size = 0;

	log_init();
	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, say_from_thread, names[i]), 0);
	while (finished < THREADS)
		hear_more(in, &size);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	hear_more(in, &size);
	log_info("thread0 %d", LINES); /* after it nothing is lost any more */
	hear_more(in, &size);
	count_lines(&size);
	cr_assert_eq(n_heard + n_lost, THREADS * LINES + 1, "%d heard, %d lost", n_heard, n_lost);
}
