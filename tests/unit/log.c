/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

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

/* Puts a pipe in the place of stderr.  Returns its other end, which does not block. */
static int catch_by_pipe(void)
{
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	become_stderr(fds[1]);
	cr_assert_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	return fds[0];
}

static int catch_by_socket(int type)
{
	int fds[2];

	cr_assert_eq(socketpair(AF_UNIX, type, 0, fds), 0);
	become_stderr(fds[1]);
	cr_assert_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	return fds[0];
}

/* Puts a terminal there, which leaves the bytes as they are. */
static int catch_by_terminal(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK), slave;
	struct termios raw;

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		cr_skip_test("there are no pseudo-terminals");
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	cr_assert_geq(slave, 0);
	cr_assert_eq(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);
	cr_assert_eq(tcsetattr(slave, TCSANOW, &raw), 0);
	become_stderr(slave);
	return master;
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
static const char *const as_journal = "<3>1\n<4>two\n<6>t3\n<7>four\n";

/* On a terminal or a pipe a line says whose it is and how bad. */
TEST(log, prefix)
{
	int in = catch_by_pipe();

	unsetenv("JOURNAL_STREAM");
	log_init();
	say_each_level();
	check_heard(in, as_text);
}

/* Also before log_init(). */
TEST(log, without_init)
{
	int in = catch_by_pipe();

	say_each_level();
	check_heard(in, as_text);
}

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

/* Where JOURNAL_STREAM names stderr, the journal learns the level. */
TEST(log, journal_socket)
{
	int in = catch_by_socket(SOCK_STREAM);

	set_journal_stream(0);
	log_init();
	say_each_level();
	check_heard(in, as_journal);
}

TEST(log, journal_pipe)
{
	int in = catch_by_pipe();

	set_journal_stream(0);
	log_init();
	say_each_level();
	check_heard(in, as_journal);
}

#define ECHOD "SYSLOG_IDENTIFIER=echod\n"

/* The kind that the tests take for an example. */
#define KEPT "PRIORITY=4\n" ECHOD "MESSAGE_ID=%s\nECHOD_EVENT=option_kept\n"

static const char *kept(const char *rest)
{
	static char record[8192];

	snprintf(record, sizeof(record), KEPT "%s", EVENT_OPTION_KEPT.id, rest);
	return record;
}

/* A journal that takes records, unless error is not 0, and a pipe for what is not one. */
static int catch_by_journal(int error)
{
	int in = catch_by_pipe();

	set_journal_stream(0);
	journal_error = error;
	log_init();
	return in;
}

/* To the journal each line is a record, and stderr gets nothing. */
TEST(log, records)
{
	int in = catch_by_journal(0);

	say_each_level();
	check_journal("PRIORITY=3\n" ECHOD "MESSAGE=1\n"
		      "PRIORITY=4\n" ECHOD "MESSAGE=two\n"
		      "PRIORITY=6\n" ECHOD "MESSAGE=t3\n"
		      "PRIORITY=7\n" ECHOD "MESSAGE=four\n");
	check_heard(in, "");
}

static void say_kept(void)
{
	log_event(EVENT_OPTION_KEPT,
		  FIELDS(FIELD("ECHOD_OPTION", "workers"),
			 FIELD_COUNTER("ECHOD_lower_", "2", UINT64_MAX), FIELD_ERRNO(EADDRINUSE)),
		  "%s stays", "workers");
}

/* A record has its kind, level and fields. */
TEST(log, record_of_a_kind)
{
	int in = catch_by_journal(0);

	say_kept();
	check_journal(kept("ECHOD_OPTION=workers\n"
			   "ECHOD_LOWER_2=18446744073709551615\n"
			   "ERRNO=98\n"
			   "ECHOD_ERROR=Address already in use\n"
			   "MESSAGE=workers stays\n"));
	log_event(EVENT_OPTION_KEPT, NULL, "%d", 2);
	check_journal(kept("MESSAGE=2\n"));
	check_heard(in, "");
}

/* Where there is no journal it is a line as any other. */
TEST(log, record_as_text)
{
	int in = catch_by_pipe();

	unsetenv("JOURNAL_STREAM");
	say_kept();
	log_init();
	say_kept();
	check_heard(in, "echod: warning: workers stays\nechod: warning: workers stays\n");
}

TEST(log, record_below_level)
{
	int in = catch_by_journal(0);

	log_set_level(LOG_LEVEL_ERROR);
	say_kept();
	check_journal("");
	check_heard(in, "");
}

/* No value makes a line of its own, and so a field that was not meant. */
TEST(log, record_is_printable)
{
	catch_by_journal(0);
	log_event(EVENT_OPTION_KEPT,
		  FIELDS(FIELD("ECHOD_OPTION", "a\nPRIORITY=0\r\1"), FIELD("ECHOD_EMPTY", "")),
		  "%s", "b\nPRIORITY=0\n\n");
	check_journal(kept("ECHOD_OPTION=a?PRIORITY=0??\nECHOD_EMPTY=\nMESSAGE=b?PRIORITY=0??\n"));
}

/* What has no room is cut or left out, and the rest is as it should be. */
TEST(log, long_record)
{
	static char value[5001];
	size_t head;

	catch_by_journal(0);
	log_event(EVENT_OPTION_KEPT, NULL, "x");
	head = journal_size - strlen("MESSAGE=x\n");
	memset(value, 'v', sizeof(value) - 1);
	for (size_t size = 3700; size < 5000; size++) {
		size_t room = FIELDS_SIZE - head - strlen("ECHOD_OPTION=\n");
		size_t expected = size < room ? size : room;
		bool second = size + strlen("ECHOD_SECOND=\n") < room;
		char *at = journal + head;

		journal_size = 0;
		log_event(EVENT_OPTION_KEPT,
			  FIELDS(FIELD("ECHOD_OPTION", value + sizeof(value) - 1 - size),
				 FIELD_NUMBER("ECHOD_SECOND", 2)),
			  "text");
		cr_assert_eq(strncmp(at, "ECHOD_OPTION=v", 14), 0);
		cr_assert_eq(strspn(at + 13, "v"), expected, "of %zu: %zu", size,
			     strspn(at + 13, "v"));
		cr_assert_str_eq(at + 13 + expected,
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

/* A journal that takes no more: lost, counted and told, as with any reader. */
TEST(log, journal_hangs)
{
	int in = catch_by_journal(EAGAIN);
	char expected[512];

	errno = ECHILD;
	say_kept();
	cr_assert_eq(errno, ECHILD);
	log_info("lost");
	check_journal("");
	journal_error = 0;
	log_info("next");
	snprintf(expected, sizeof(expected),
		 "PRIORITY=4\n" ECHOD "MESSAGE_ID=%s\nECHOD_EVENT=lines_lost\nECHOD_LINES=2\n"
		 "MESSAGE=2 log lines lost: nobody read them\n"
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

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		journal_error = errors[i];
		errno = ECHILD;
		say_kept();
		cr_assert_eq(errno, ECHILD);
		check_heard(in, "<4>workers stays\n");
		check_journal("");
		journal_error = 0;
		log_info("x");
		check_heard(in, "");
		check_journal("PRIORITY=6\n" ECHOD "MESSAGE=x\n");
	}
}

/* Where it names something else, as after a redirection, or nothing, it does not count. */
TEST(log, not_the_journal)
{
	int in = catch_by_pipe();

	set_journal_stream(1);
	log_init();
	say_each_level();
	check_heard(in, as_text);
}

TEST(log, no_journal_stream)
{
	static const char *const values[] = { "", "1", ":", "a:b", "1:", "-1:-1" };
	int in = catch_by_pipe();

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		setenv("JOURNAL_STREAM", values[i], 1);
		log_init();
		say_each_level();
		check_heard(in, as_text);
	}
}

/* Each level lets through itself and what is worse. */
TEST(log, levels)
{
	static const enum log_level levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO,
						 LOG_LEVEL_DEBUG };
	int in = catch_by_pipe();

	log_init();
	for (int set = 0; set < 4; set++) {
		log_set_level(levels[set]);
		for (int level = 0; level < 4; level++) {
			LOG_LINE(levels[level], "x");
			cr_expect_eq(*heard(in) != '\0', level <= set);
			cr_expect_eq(log_enabled(levels[level]), level <= set);
		}
	}
}

/* Without a level set, debug is off and info on. */
TEST(log, initial_level)
{
	int in = catch_by_pipe();

	log_init();
	cr_assert(log_enabled(LOG_LEVEL_INFO));
	cr_assert_not(log_enabled(LOG_LEVEL_DEBUG));
	log_debug("x");
	check_heard(in, "");
	log_info("x");
	check_heard(in, "echod: x\n");
}

static int evaluated(int *count)
{
	return ++*count;
}

/* A debug line that nobody wants costs not even its arguments. */
TEST(log, debug_is_free)
{
	int count = 0;

	catch_by_pipe();
	log_debug("%d", evaluated(&count));
	cr_assert_eq(count, 0);
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("%d", evaluated(&count));
	cr_assert_eq(count, 1);
}

/* Whatever a name contains, a call is one line, and no single byte above 127 stays. */
TEST(log, one_line)
{
	int in = catch_by_pipe();
	char name[300] = "";
	const char *line;
	int n = 0;

	for (int i = 1; i < 256; i++)
		name[n++] = (char)(i < 128 ? i : 383 - i); /* none continues the one before */
	log_init();
	log_info("%s", name);
	line = heard(in);
	cr_assert_eq(strncmp(line, "echod: ", 7), 0);
	cr_assert_eq(strlen(line), 7 + 255 + 1);
	for (int i = 0; i < 255; i++)
		cr_expect_eq(line[7 + i], i + 1 < 32 || i + 1 >= 127 ? '?' : name[i], "byte %d",
			     i + 1);
	cr_assert_str_eq(line + 7 + 255, "\n");
	log_info("a\nb\r<3>c\033[1m");
	check_heard(in, "echod: a?b?<3>c?[1m\n");
	log_info("%s", "");
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
	int in = catch_by_pipe();

	log_init();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char expected[64];

		snprintf(expected, sizeof(expected), "echod: %s\n",
			 cases[i].expected ? cases[i].expected : cases[i].text);
		log_info("%s", cases[i].text);
		check_heard(in, expected);
	}
}

/* Where a line is cut, no half of a character stays. */
TEST(log, cut_character)
{
	static char name[8001];
	int in = catch_by_pipe();

	log_init();
	memset(name, 'x', sizeof(name) - 1);
	for (int i = 4000; i < 7998; i += 3)
		memcpy(name + i, "\xe2\x82\xac", 3);
	for (int i = 0; i < 3; i++) {
		log_info("%s", name + i);
		cr_assert_eq(strlen(heard(in)), PIPE_BUF);
		cr_assert(text[PIPE_BUF - 2] == '?' || text[PIPE_BUF - 2] == '\xac');
	}
}

/* A line that is too long is cut, and still ends as a line. */
TEST(log, long_lines)
{
	static char name[100001];
	int in = catch_by_file();

	log_init();
	memset(name, 'x', sizeof(name) - 1);
	for (size_t size = PIPE_BUF - 20; size < PIPE_BUF + 20; size++) {
		const char *line;

		cr_assert_eq(ftruncate(in, 0), 0);
		cr_assert_eq(lseek(in, 0, SEEK_SET), 0);
		log_info("%s", name + sizeof(name) - 1 - size);
		log_flush(0);
		cr_assert_eq(lseek(in, 0, SEEK_SET), 0);
		line = heard(in);
		cr_assert_eq(strcspn(line, "\n"), strlen(line) - 1);
		cr_assert_eq(strlen(line), size < PIPE_BUF - 8 ? size + 8 : PIPE_BUF);
	}
}

/* Into a pipe goes no more than it takes as a whole, see pipe(7). */
TEST(log, long_lines_into_a_pipe)
{
	static char name[100001];
	int in = catch_by_pipe();

	log_init();
	memset(name, 'x', sizeof(name) - 1);
	for (size_t size = PIPE_BUF - 20; size < PIPE_BUF + 20; size++) {
		const char *line;

		log_info("%s", name + sizeof(name) - 1 - size);
		line = heard(in);
		cr_assert_eq(strcspn(line, "\n"), strlen(line) - 1);
		cr_assert_eq(strlen(line), size < PIPE_BUF - 8 ? size + 8 : PIPE_BUF);
	}
}

/* A regular file gets every line. */
TEST(log, file)
{
	int in = catch_by_file();

	unsetenv("JOURNAL_STREAM");
	log_init();
	say_each_level();
	log_flush(0);
	cr_assert_eq(lseek(in, 0, SEEK_SET), 0);
	check_heard(in, as_text);
}

/* errno is the caller's, whatever becomes of the line. */
TEST(log, errno_is_kept)
{
	int in = catch_by_pipe();

	log_init();
	errno = ECHILD;
	log_debug("x");
	cr_assert_eq(errno, ECHILD);
	log_info("x");
	cr_assert_eq(errno, ECHILD);
	for (int i = 0; i < 10000; i++)
		log_info("x");
	cr_assert_eq(errno, ECHILD);
	close(in);
	errno = ECHILD;
	log_info("x");
	cr_assert_eq(errno, ECHILD);
	close(STDERR_FILENO);
	errno = ECHILD;
	log_info("x");
	cr_assert_eq(errno, ECHILD);
}

/* The description of stderr is not only ours: its flags stay as they are. */
static void check_flags(void)
{
	int before = fcntl(STDERR_FILENO, F_GETFL);

	log_init();
	for (int i = 0; i < 10000; i++)
		log_info("x");
	cr_assert_eq(fcntl(STDERR_FILENO, F_GETFL), before);
	cr_assert_not(before & O_NONBLOCK);
}

TEST(log, stderr_keeps_blocking)
{
	catch_by_pipe();
	check_flags();
}

TEST(log, stderr_socket_keeps_blocking)
{
	catch_by_socket(SOCK_STREAM);
	check_flags();
}

/*
 * Nobody reads: the call returns all the same, the lines are counted, and the
 * next that gets through says how many there were, once.
 */
static void check_full(int in)
{
	unsigned long lost = 0;
	char expected[128];
	const char *line;

	log_init();
	for (int i = 0; i < 10000; i++)
		log_info("a line of some length, of which very many fill any pipe");
	for (line = heard(in); *line; line = strchr(line, '\n') + 1)
		lost++;
	lost = 10000 - lost;
	cr_assert_gt(lost, 0, "it was never full");
	log_info("next");
	snprintf(expected, sizeof(expected),
		 "echod: warning: %lu log lines lost: nobody read them\nechod: next\n", lost);
	check_heard(in, expected);
	log_info("next");
	check_heard(in, "echod: next\n");
}

TEST(log, full_pipe)
{
	check_full(catch_by_pipe());
}

TEST(log, full_stream_socket)
{
	check_full(catch_by_socket(SOCK_STREAM));
}

TEST(log, full_seqpacket_socket)
{
	check_full(catch_by_socket(SOCK_SEQPACKET));
}

/*
 * A terminal that is stopped takes what it has room for, and nobody waits for
 * more; once it goes on, sooner or later, it says how many lines were lost.
 */
TEST(log, full_terminal)
{
	int in = catch_by_terminal();
	size_t size = 0;

	log_init();
	for (int i = 0; i < 10000; i++)
		log_info("a line of some length, of which very many fill any terminal");
	do {
		hear_more(in, &size);
		log_info("next");
	} while (!strstr(text, " log lines lost: nobody read them\nechod: next\n"));
}

/* With a reader that is gone lines are lost and counted, nothing else. */
TEST(log, reader_is_gone)
{
	int in = catch_by_pipe(), again;

	log_init();
	again = open("/proc/self/fd/2", O_RDONLY | O_NONBLOCK);
	cr_assert_geq(again, 0);
	close(in);
	log_info("heard");
	check_heard(again, "echod: heard\n");
	close(again);
	log_info("lost");
	log_info("lost");
	again = open("/proc/self/fd/2", O_RDONLY | O_NONBLOCK);
	log_info("next");
	check_heard(again, "echod: warning: 2 log lines lost: nobody read them\nechod: next\n");
}

/* Without any stderr logging does nothing. */
TEST(log, no_stderr)
{
	close(STDERR_FILENO);
	log_init();
	log_info("x");
	log_info("x");
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

/* Takes the whole lines out of text, of which size bytes are there; counts what they tell. */
static void count_told(size_t *size, unsigned long *told)
{
	char *line = text, *end;
	unsigned long lost;

	for (; (end = strchr(line, '\n')); line = end + 1)
		*told += sscanf(line, "echod: warning: %lu log lines lost", &lost) == 1 ? lost : 1;
	*size = strlen(line);
	memmove(text, line, *size + 1);
}

/*
 * What cannot be opened again, as another user's pipe, does not block either: the
 * writer waits for its reader, and each line is written or counted as lost.
 */
TEST(log, full_forbidden_pipe)
{
	int in = catch_by_pipe();
	unsigned long said = 100000, told = 0;
	size_t size = 0;

	forbid_second_open();
	log_init();
	for (unsigned long i = 0; i < said; i++)
		log_info("a line of some length, of which very many fill any pipe");
	log_flush(0);
	hear_more(in, &size);
	count_told(&size, &told);
	cr_assert_lt(told, said, "it was never full");
	do {
		log_info("next");
		said++;
		log_flush(0);
		hear_more(in, &size);
		count_told(&size, &told);
	} while (told < said);
	cr_assert_eq(told, said);
	end();
}

/* A pipe at stderr of four pages, of which one has room. */
static int catch_by_almost_full_pipe(void)
{
	static const char page[PAGE];
	int in = catch_by_pipe();

	if (fcntl(in, F_SETPIPE_SZ, 4 * PAGE) != 4 * PAGE)
		cr_skip_test("pages have another size here");
	for (int i = 0; i < 3; i++)
		cr_assert_eq(write(STDERR_FILENO, page, PAGE), PAGE);
	return in;
}

static void skip_pages(int in)
{
	char page[PAGE];

	for (int i = 0; i < 3; i++)
		cr_assert_eq(read(in, page, PAGE), PAGE);
}

/* A line that does not fit is lost as a whole, and no half of it spoils the next. */
TEST(log, long_line_into_almost_full_pipe)
{
	static char name[2 * PAGE + 1];
	int in = catch_by_almost_full_pipe();

	log_init();
	memset(name, 'x', sizeof(name) - 1);
	log_info("%s", name);
	skip_pages(in);
	heard(in);
	cr_expect(*text == '\0' || text[strlen(text) - 1] == '\n', "half a line: %zu bytes",
		  strlen(text));
	log_info("next");
	cr_assert(strncmp(heard(in), "echod: ", 7) == 0);
}

#define THREADS 4
#define LINES 10000

static _Atomic int finished;

static void *say_many(void *name)
{
	for (int i = 0; i < LINES; i++)
		log_info("%s %d", (const char *)name, i);
	finished++;
	return NULL;
}

/* Takes one line of the threads into account. */
static void count_line(const char *line, int *lines, int *lost)
{
	static int last[THREADS] = { -1, -1, -1, -1 };
	int name, number, end = 0;

	if (sscanf(line, "echod: warning: %d log lines lost: nobody read them%n", &number, &end) ==
	    1) {
		cr_assert_str_empty(line + end);
		*lost += number;
		return;
	}
	cr_assert_eq(sscanf(line, "echod: thread%1d %d%n", &name, &number, &end), 2, "%s", line);
	cr_assert_str_empty(line + end);
	cr_assert_lt(name, THREADS);
	cr_assert_gt(number, last[name], "%s", line);
	last[name] = number;
	++*lines;
}

/*
 * Threads that log faster than anyone reads: lines are whole, each thread's in
 * their order, and each one is either heard or counted.
 */
TEST(log, threads)
{
	static char names[THREADS][8] = { "thread0", "thread1", "thread2", "thread3" };
	int in = catch_by_pipe(), lines = 0, lost = 0;
	pthread_t threads[THREADS];
	size_t size = 0;

	log_init();
	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, say_many, names[i]), 0);
	while (finished < THREADS)
		hear_more(in, &size);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	hear_more(in, &size);
	log_info("thread0 %d", LINES); /* after it nothing is lost any more */
	hear_more(in, &size);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		count_line(line, &lines, &lost);
	cr_assert_eq(lines + lost, THREADS * LINES + 1, "%d heard, %d lost", lines, lost);
}
