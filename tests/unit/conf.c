#include "conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper.h"
#include "log.h"
#include "option.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))
#define FILE_MAX 65536

static struct conf conf;
static struct conf_error error;

TestSuite(conf, .timeout = HELPER_TIMEOUT);

/* Loads a file of this text, and then the overrides. */
static int load(const char *text, size_t size, const char **overrides, size_t n)
{
	int fd = helper_memory_file(text, size);
	struct conf_source source = {
		.path = helper_path(fd),
		.overrides = overrides,
		.n_overrides = n,
	};
	int r = conf_load(&conf, &source, &error);

	close(fd);
	return r;
}

static int load_text(const char *text)
{
	return load(text, strlen(text), NULL, 0);
}

static int load_override(const char *text, const char *override)
{
	return load(text, strlen(text), &override, 1);
}

static int load_path(const char *path)
{
	struct conf_source source = { .path = path };

	return conf_load(&conf, &source, &error);
}

static void allow(const char *text)
{
	cr_assert_eq(load_text(text), 0, "%s\nis refused: %s", text, error.text);
	cr_assert_str_empty(error.text);
}

static void check_words(const char *words)
{
	cr_expect(strstr(error.text, words), "\"%s\" does not say \"%s\"", error.text, words);
}

/* The text is refused, and the message says where and contains the words. */
static void refuse(const char *text, int line, const char *words)
{
	char where[64];
	int fd = helper_memory_file(text, strlen(text));
	int r = load_path(helper_path(fd));

	snprintf(where, sizeof(where), "%s:%d: ", helper_path(fd), line);
	cr_expect_eq(r, -EINVAL, "%s\nis not refused", text);
	cr_expect_eq(strncmp(error.text, where, strlen(where)), 0, "%s\ngives: %s\nnot: %s", text,
		     error.text, where);
	check_words(words);
	close(fd);
}

static void check_listen(size_t i, const char *text)
{
	struct address expected = helper_address(text);
	char buffer[ADDRESS_TEXT];

	cr_assert_lt(i, conf.n_listen);
	cr_assert(address_equal(&conf.listen[i], &expected), "%s, not %s",
		  address_format(&conf.listen[i], buffer), text);
}

/* Equal in everything that the table knows. */
static void check_equal(const struct conf *a, const struct conf *b)
{
	cr_assert_eq(a->n_listen, b->n_listen);
	for (size_t i = 0; i < a->n_listen; i++)
		cr_assert(address_equal(&a->listen[i], &b->listen[i]));
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (option_table[i].kind != OPTION_ADDRESSES)
			cr_assert_eq(option_get(&option_table[i], a),
				     option_get(&option_table[i], b), "%s", option_table[i].name);
}

static void check_defaults(void)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *o = &option_table[i];
		char buffer[QUANTITY_TEXT];

		if (o->kind == OPTION_ADDRESSES)
			continue;
		cr_expect_str_eq(option_format(o, option_get(o, &conf), buffer), o->initial, "%s",
				 o->name);
	}
	cr_assert_eq(conf.n_listen, 2);
	check_listen(0, "0.0.0.0:7");
	check_listen(1, "[::]:7");
}

/* Without a file everything is as the table says. */
TEST(conf, defaults)
{
	memset(&conf, 0xff, sizeof(conf));
	cr_assert_eq(load_path(NULL), 0);
	check_defaults();
}

/* Files that say nothing give the defaults too. */
TEST(conf, empty_files)
{
	static const char *const texts[] = { "",    "\n",   "\r\n", " \t\n\n", "# nothing",
					     "#\n", "//\n", "/**/", "/* */\n" };

	for (size_t i = 0; i < N(texts); i++) {
		allow(texts[i]);
		check_defaults();
	}
	cr_assert_eq(load_path("/dev/null"), 0);
	check_defaults();
}

/* Each option can be set, and its value arrives in its own place. */
TEST(conf, file_values)
{
	allow("listen = {\"127.0.0.1:1\", \"[::1]:2\"}\n"
	      "workers = 3\nbacklog = 4\nmax_connections = 5\n"
	      "max_connections_per_source = 6\nconnection_rate_per_source = 7\n"
	      "connection_burst_per_source = 8\nidle_timeout = 9\nstall_timeout = 10\n"
	      "shutdown_timeout = 11\nbuffer_size = 4096\npending_memory = 1099511627776\n"
	      "receive_buffer = 13\nsend_buffer = 14\ntcp_nodelay = false\n"
	      "tcp_keepalive = 15\nlog_level = debug\n");
	cr_assert_eq(conf.n_listen, 2);
	check_listen(0, "127.0.0.1:1");
	check_listen(1, "[::1]:2");
	cr_expect_eq(conf.workers, 3);
	cr_expect_eq(conf.backlog, 4);
	cr_expect_eq(conf.max_connections, 5);
	cr_expect_eq(conf.max_connections_per_source, 6);
	cr_expect_eq(conf.connection_rate_per_source, 7);
	cr_expect_eq(conf.connection_burst_per_source, 8);
	cr_expect_eq(conf.idle_timeout, 9);
	cr_expect_eq(conf.stall_timeout, 10);
	cr_expect_eq(conf.shutdown_timeout, 11);
	cr_expect_eq(conf.buffer_size, 4096);
	cr_expect_eq(conf.pending_memory, 1099511627776);
	cr_expect_eq(conf.receive_buffer, 13);
	cr_expect_eq(conf.send_buffer, 14);
	cr_expect_eq(conf.tcp_nodelay, 0);
	cr_expect_eq(conf.tcp_keepalive, 15);
	cr_expect_eq(conf.log_level, LOG_LEVEL_DEBUG);
}

/* White space, quotes and comments around settings do not change them. */
TEST(conf, syntax)
{
	static const char *const texts[] = {
		"workers = 3 backlog = 4",
		"workers=3\nbacklog=4",
		"workers\n=\n3\nbacklog\n=\n4\n",
		"workers = 3\r\nbacklog = 4\r\n",
		"\tworkers = \"3\" backlog = '4'",
		"workers = 3 # three\n# five\n#backlog = 5\nbacklog = 4 // four",
		"/* workers = 5\n */ workers = 3 /* three */ backlog = 4 /* * / ** */",
		"workers = 5\nworkers = 3\nbacklog = 4", /* the last one is in force */
	};

	for (size_t i = 0; i < N(texts); i++) {
		allow(texts[i]);
		cr_expect_eq(conf.workers, 3, "%s", texts[i]);
		cr_expect_eq(conf.backlog, 4, "%s", texts[i]);
	}
}

/* A value of the environment, a substitute for a missing one, and neither. */
TEST(conf, environment)
{
	setenv("ECHOD_TEST_PORT", "9", 1);
	unsetenv("ECHOD_TEST_MISSING");
	allow("listen = \"127.0.0.1:${ECHOD_TEST_PORT}\" workers = ${ECHOD_TEST_PORT}");
	check_listen(0, "127.0.0.1:9");
	cr_assert_eq(conf.workers, 9);
	allow("workers = ${ECHOD_TEST_MISSING:-4} backlog = \"${ECHOD_TEST_MISSING:-5}\"");
	cr_assert_eq(conf.workers, 4);
	cr_assert_eq(conf.backlog, 5);
	refuse("workers = ${ECHOD_TEST_MISSING}", 1, "workers =  is not allowed");
	refuse("workers = '${ECHOD_TEST_PORT}'", 1, "workers = ${ECHOD_TEST_PORT} is not allowed");
}

/* What -o says is stronger than the file, and a later -o than an earlier one. */
TEST(conf, overrides_win)
{
	const char *overrides[] = { "workers=4", "listen = \"127.0.0.1:9\"", "backlog = 8",
				    "workers = 5" };
	const char *text =
		"workers = 3\nlisten = {\"127.0.0.1:7\", \"[::1]:7\"}\nlog_level = debug";

	cr_assert_eq(load(text, strlen(text), overrides, N(overrides)), 0, "%s", error.text);
	cr_assert_eq(conf.workers, 5);
	cr_assert_eq(conf.backlog, 8);
	cr_assert_eq(conf.log_level, LOG_LEVEL_DEBUG);
	cr_assert_eq(conf.n_listen, 1);
	check_listen(0, "127.0.0.1:9");
}

/* Overrides need no file, and can append to its list. */
TEST(conf, overrides_alone_and_appending)
{
	const char *override = "tcp_nodelay=off";
	struct conf_source source = { .overrides = &override, .n_overrides = 1 };

	cr_assert_eq(conf_load(&conf, &source, &error), 0, "%s", error.text);
	cr_assert_eq(conf.tcp_nodelay, 0);
	cr_assert_eq(load_override("listen = 127.0.0.1:7", "listen += {127.0.0.1:8}"), 0);
	cr_assert_eq(conf.n_listen, 2);
	check_listen(0, "127.0.0.1:7");
	check_listen(1, "127.0.0.1:8");
}

/* Each spelling of a list gives its addresses in their order. */
TEST(conf, lists)
{
	static const char *const texts[] = {
		"listen = {\"127.0.0.1:7\", \"[::1]:7\"}",
		"listen = {127.0.0.1:7, [::1]:7}",
		"listen={'127.0.0.1:7','[::1]:7'}",
		"listen = {\n\t\"127.0.0.1:7\",\n\t\"[::1]:7\",\n}\n",
		"listen = \"127.0.0.1:7\" listen += \"[::1]:7\"",
		"listen = {\"127.0.0.1:7\"}\nlisten += {\"[::1]:7\"}\nlisten += {}",
		"listen = {127.0.0.1:9, 127.0.0.1:8} listen = {127.0.0.1:7, \"[::1]:7\"}",
		"listen = {}\nlisten += {\"127.0.0.1:7\", \"[::1]:7\"}"
	};

	for (size_t i = 0; i < N(texts); i++) {
		allow(texts[i]);
		cr_assert_eq(conf.n_listen, 2, "%s", texts[i]);
		check_listen(0, "127.0.0.1:7");
		check_listen(1, "[::1]:7");
	}
}

/* One value needs no braces; and what is appended to may be the default. */
TEST(conf, short_lists)
{
	allow("listen = 127.0.0.1:7");
	cr_assert_eq(conf.n_listen, 1);
	check_listen(0, "127.0.0.1:7");
	allow("listen += \"127.0.0.1:7007\"");
	cr_assert_eq(conf.n_listen, 3);
	check_listen(0, "0.0.0.0:7");
	check_listen(1, "[::]:7");
	check_listen(2, "127.0.0.1:7007");
}

/* A comment may stand wherever white space may, as echod.conf(5) says. */
TEST(conf, comment_in_a_list)
{
	allow("listen = {\n\"127.0.0.1:7\", # the old one\n\"[::1]:7\" /* the new one */\n}");
	cr_assert_eq(conf.n_listen, 2);
	allow("workers = # many\n3");
	cr_assert_eq(conf.workers, 3);
}

/* A daemon that listens nowhere is a mistake. */
TEST(conf, empty_list_is_refused)
{
	refuse("listen = {}", 1, "listen: at least one address is needed");
	refuse("listen = 127.0.0.1:7\nlisten = {}", 2, "listen: at least one address is needed");
	cr_assert_eq(load_override("", "listen = {}"), -EINVAL);
	check_words("-o listen = {}: listen: at least one address is needed");
}

/* The same address twice is refused, however it is written. */
TEST(conf, duplicates_are_refused)
{
	refuse("listen = {127.0.0.1:7,\n127.0.0.1:8,\n127.0.0.1:7}", 3,
	       "listen: \"127.0.0.1:7\" is there twice");
	refuse("listen = {\"[::1]:7\", \"[0:0::1]:007\"}", 1, "\"[0:0::1]:007\" is there twice");
	refuse("\nlisten += \"0.0.0.0:7\"", 2, "\"0.0.0.0:7\" is there twice");
	cr_assert_eq(load_override("listen = 127.0.0.1:7", "listen += 127.0.0.1:7"), -EINVAL);
	check_words("-o listen += 127.0.0.1:7: listen: \"127.0.0.1:7\" is there twice");
	refuse("listen = {127.0.0.1:0, 127.0.0.1:0}", 1, "\"127.0.0.1:0\" is there twice");
	allow("listen = {127.0.0.1:1, 127.0.0.1:2, 127.0.0.2:1, [::1]:1, [::2]:1}");
	cr_assert_eq(conf.n_listen, 5);
}

/* A list of n addresses, all different, behind the given start. */
static const char *many_addresses(const char *start, int n)
{
	static char text[4096];
	size_t size = (size_t)sprintf(text, "%s", start);

	for (int i = 1; i <= n; i++)
		size += (size_t)sprintf(text + size, "%s127.0.0.1:%d", i > 1 ? "," : "", i);
	strcpy(text + size, "}");
	return text;
}

/* There is room for 64 addresses and not for one more. */
TEST(conf, too_many_addresses)
{
	allow(many_addresses("listen = {", CONF_LISTEN_MAX));
	cr_assert_eq(conf.n_listen, CONF_LISTEN_MAX);
	check_listen(0, "127.0.0.1:1");
	check_listen(63, "127.0.0.1:64");
	refuse(many_addresses("listen = {", CONF_LISTEN_MAX + 1), 1,
	       "listen: only 64 addresses are allowed");
	refuse(many_addresses("listen += {", CONF_LISTEN_MAX - 1), 1, "only 64 addresses");
	cr_assert_eq(load_override(many_addresses("listen = {", CONF_LISTEN_MAX),
				   "listen += 127.0.0.1:65"),
		     -EINVAL);
	check_words("only 64 addresses are allowed");
}

static const struct {
	const char *text;
	int line;
	const char *words;
} wrong[] = {
	{ "workers = x\n", 1, "workers = x is not allowed, only a number from 0 to 256" },
	{ "\n\nbacklog = 0\n", 3, "backlog = 0 is not allowed, only a number from 1 to 65535" },
	{ "backlog = 65536", 1, "backlog = 65536 is not allowed" },
	{ "idle_timeout = -1", 1, "only a time from 0 to 365d" },
	{ "idle_timeout = 99999999999999999999", 1, "only a time from 0 to 365d" },
	{ "idle_timeout = 10x", 1, "idle_timeout = 10x is not allowed" },
	{ "workers = \"\"", 1, "workers =  is not allowed" },
	{ "workers = 2;", 1, "workers = 2; is not allowed" },
	{ "workers = 1\ntcp_nodelay = maybe", 2,
	  "tcp_nodelay = maybe is not allowed, only true or false" },
	{ "log_level = loud", 1, "only error, warning, info or debug" },
	{ "listen = \"localhost:7\"", 1,
	  "listen: \"localhost:7\" is not allowed, only \"ADDR:PORT\" or \"[ADDR6]:PORT\", "
	  "numeric, with a port from 0 to 65535" },
	{ "listen = {\n\"127.0.0.1:7\",\n\"127.0.0.1\"}\n", 3,
	  "listen: \"127.0.0.1\" is not allowed" },
	{ "listen = ~/", 1, "listen: \"~/\" is not allowed" },
	{ "log_level = ~/", 1, "log_level = ~/ is not allowed" },
	{ "\nverbose = 1", 2, "no such option 'verbose'" },
	{ "Workers = 1", 1, "no such option 'Workers'" },
	{ "\xef\xbb\xbfworkers = 1", 1, "no such option" },
	{ "include(\"/dev/null\")", 1, "no such option 'include'" },
	{ "workers 2", 1, "missing equal sign after option 'workers'" },
	{ "workers {", 1, "missing equal sign after option 'workers'" },
	{ "workers\n\n\n", 4, "premature end of file" },
	{ "workers =", 1, "premature end of file" },
	{ "listen = {127.0.0.1:7", 1, "premature end of file" },
	{ "listen = {127.0.0.1:7,\n", 2, "premature end of file" },
	{ "workers = {2}", 1, "unexpected token '{'" },
	{ "workers += 2", 1, "attempt to append to non-list option 'workers'" },
	{ "workers = = 2", 1, "unexpected token '='" },
	{ "listen = {,}", 1, "unexpected token ','" },
	{ "listen = {127.0.0.1:7 127.0.0.1:8}", 1, "unexpected token '127.0.0.1:8'" },
	{ "listen = {{127.0.0.1:7}}", 1, "unexpected token '{'" },
	{ "\n}", 2, "unexpected closing brace" },
	{ "{", 1, "unexpected token '{'" },
	{ "*/", 1, "that means nothing" },
	{ "log_level = \"\\9\"", 1, "that means nothing" },
	{ "log_level = \"\\777\"", 1, "that means nothing" },
};

/* Texts that end inside a string or a comment, and the line on which that begins. */
static const struct {
	const char *text;
	int line;
} unterminated[] = {
	{ "\"", 1 },
	{ "'", 1 },
	{ "/*", 1 },
	{ "/*/", 1 },
	{ "\"\\", 1 },
	{ "'\\", 1 },
	{ "'\\'", 1 },
	{ "/* *", 1 },
	{ "log_level = debug\n\"workers", 2 },
	{ "log_level = debug\n'workers", 2 },
	{ "log_level = debug\n/* workers\n", 2 },
	{ "log_level = \"debug", 1 },
	{ "\nlog_level = 'debug\n\n", 2 },
	{ "log_level = debug /* \"*\" / '*' /", 1 },
	{ "listen = {\"127.0.0.1:7\", \"127", 1 },
	{ "listen = {'127.0.0.1:7',\n'127", 2 },
	{ "listen = {'127.0.0.1:7', \"127.0.0.1:8'}\n", 1 },
	{ "log_level = \"${HOME", 1 },
	{ "log_level = \"debug\\\"", 1 },
	{ "# \" it's\n/* it's */ \"probe = 1", 2 },
	{ "/* probe = 1", 1 },
};

/* Every kind of mistake is refused with its file, its line and what is allowed. */
TEST(conf, errors)
{
	for (size_t i = 0; i < N(wrong); i++)
		refuse(wrong[i].text, wrong[i].line, wrong[i].words);
}

/* Strings and comments that nobody closed are refused, even where all settings were read. */
TEST(conf, unterminated)
{
	for (size_t i = 0; i < N(unterminated); i++)
		refuse(unterminated[i].text, unterminated[i].line, "never closed");
}

/* The line of an error is the file's, whatever stands in the lines before. */
TEST(conf, lines_after_comments)
{
	refuse("# one\n# two\nworkers = x\n", 3, "workers = x");
	refuse("// one\n\n// three\nworkers = x\n", 4, "workers = x");
	refuse("/* one\n * two\n */\nworkers = x\n", 4, "workers = x");
	refuse("/* one */ /* one */ workers = x\n", 1, "workers = x");
	refuse("backlog = 1 # one\r\nworkers = x\r\n", 2, "workers = x");
}

/* As does a string over several lines count as these. */
TEST(conf, lines_after_strings)
{
	refuse("log_level = \"a\nb\nc\"", 3, "log_level");
	refuse("listen = {\"127.0.0.1:7\"}\r\n\r\nworkers = x\r\n", 3, "workers = x");
	setenv("ECHOD_TEST_LINES", "debug\n", 1);
	refuse("log_level = \"${ECHOD_TEST_LINES}\"", 1, "log_level");
}

/* Also a setting without a name is in a line. */
TEST(conf, empty_name)
{
	refuse("workers = 1\n\"\" = 2\n", 2, "");
	refuse("'a|b' = 2\n", 1, "");
	refuse("'|' = 2\n", 1, "no such option");
}

/* What stands beside a number is not silently dropped. */
TEST(conf, stray_characters)
{
	static const char *const texts[] = {
		"workers = *4",	       "workers = 4*",
		"workers = 4 *",       "* workers = 4",
		"workers *= 4",	       "workers = 4 +",
		"workers = \"4\\0x\"", "listen = \"127.0.0.1:7\\0garbage\""
	};

	for (size_t i = 0; i < N(texts); i++)
		cr_expect_eq(load_text(texts[i]), -EINVAL, "%s is accepted", texts[i]);
}

/* The message is one line, whatever the file contains. */
TEST(conf, message_is_one_line)
{
	static const char *const texts[] = { "log_level = \"a\nb\"", "log_level = \"a\\nb\"",
					     "'a\nb' = 1", "listen = '\n'" };

	for (size_t i = 0; i < N(texts); i++) {
		cr_expect_eq(load_text(texts[i]), -EINVAL);
		cr_expect_null(strchr(error.text, '\n'), "%s", error.text);
	}
}

/* Who has mistyped a name is told all names. */
TEST(conf, unknown_option_lists_the_options)
{
	refuse("worker = 1", 1, "no such option 'worker'; there are listen, workers, backlog, ");
	for (size_t i = 0; i < OPTION_COUNT; i++)
		check_words(option_table[i].name);
	cr_assert_eq(load_override("", "worker = 1"), -EINVAL);
	check_words("-o worker = 1: no such option 'worker'; there are listen, ");
}

/* And only he. */
TEST(conf, other_errors_do_not_list_the_options)
{
	refuse("listen = \"no such option\"", 1, "listen: \"no such option\" is not allowed");
	cr_assert_null(strstr(error.text, "there are"), "%s", error.text);
}

/* An error in an override names the override, not the file. */
TEST(conf, override_errors)
{
	static const struct {
		const char *override, *message;
	} cases[] = {
		{ "workers=x", "workers = x is not allowed, only a number from 0 to 256" },
		{ "workers", "premature end of file" },
		{ "=", "unexpected token '='" },
		{ "workers=", "premature end of file" },
		{ "listen=localhost:7", "listen: \"localhost:7\" is not allowed" },
		{ "listen={}", "listen: at least one address is needed" },
		{ "log_level=\"debug", "the string or comment that begins here is never closed" },
		{ "log_level='debug", "the string or comment that begins here is never closed" },
		{ "log_level=debug /*", "the string or comment that begins here is never closed" },
	};
	char message[128];

	for (size_t i = 0; i < N(cases); i++) {
		snprintf(message, sizeof(message), "-o %s: %s", cases[i].override,
			 cases[i].message);
		cr_expect_eq(load_override("workers = 2", cases[i].override), -EINVAL);
		cr_expect_eq(strncmp(error.text, message, strlen(message)), 0, "%s", error.text);
	}
}

/* An error in the file is not repaired by an override. */
TEST(conf, override_does_not_hide_the_file)
{
	cr_assert_eq(load_override("workers = x", "workers = 1"), -EINVAL);
	check_words(":1: workers = x");
	cr_assert_eq(load_override("workers = 1 /*", "*/ backlog = 2"), -EINVAL);
	check_words(":1: the string or comment that begins here is never closed");
	cr_assert_eq(load_override("workers = 1 \"", "\" backlog = 2"), -EINVAL);
	check_words(":1: the string or comment that begins here is never closed");
}

static const char *const good = "workers = 3\nlisten = {\"127.0.0.1:9\"} # comment\n"
				"log_level = 'debug' /* comment */ backlog = \"4\"\n";

static void check_good(void)
{
	cr_assert_eq(load_text(good), 0, "%s", error.text);
	cr_assert_eq(conf.workers, 3);
	cr_assert_eq(conf.backlog, 4);
	cr_assert_eq(conf.log_level, LOG_LEVEL_DEBUG);
	cr_assert_eq(conf.n_listen, 1);
	check_listen(0, "127.0.0.1:9");
}

/*
 * The important one: libconfuse's scanner is global, and a reload must read a
 * good file as it is, whatever the files before it left the scanner in.
 */
TEST(conf, good_file_after_bad_ones)
{
	for (size_t i = 0; i < N(unterminated); i++)
		for (size_t j = 0; j < N(unterminated); j++)
			for (size_t k = 0; k < N(unterminated); k++) {
				cr_assert_eq(load_text(unterminated[i].text), -EINVAL);
				cr_assert_eq(load_text(unterminated[j].text), -EINVAL);
				cr_assert_eq(load_text(unterminated[k].text), -EINVAL);
				check_good();
			}
}

/*
 * Where libconfuse could see a string or a comment that we do not see, or the
 * other way round: such a file is refused, and does not spoil the next.
 */
TEST(conf, other_readings_of_quotes_and_comments)
{
	static const char *const texts[] = {
		"workers = 4 */* backlog = 5",
		"workers = 4 */*\nbacklog = 5 /* */ */ x",
		"workers = 4\n\"${ECHOD_TEST\"}\nbacklog = 5",
		"workers = 4\n\"${ECHOD_TEST\"}\nbacklog = 5\n\"${ECHOD_TEST\"}",
		"workers = ${ECHOD_TEST'}\nbacklog = 5",
		"workers = 4/*\nbacklog = 5 */",
	};

	for (size_t i = 0; i < N(texts); i++) {
		cr_expect_eq(load_text(texts[i]), -EINVAL, "%s\nis accepted", texts[i]);
		cr_expect_eq(load_text(good), 0, "%s\nspoils the next: %s", texts[i], error.text);
		cr_expect_eq(conf.workers, 3, "%s\nspoils the next", texts[i]);
		cr_expect_eq(conf.n_listen, 1, "%s\nspoils the next", texts[i]);
	}
}

/* As after files with any other mistake. */
TEST(conf, good_file_after_wrong_ones)
{
	for (size_t i = 0; i < N(wrong); i++) {
		cr_assert_eq(load_text(wrong[i].text), -EINVAL);
		check_good();
		for (size_t j = 0; j < N(unterminated); j++) {
			cr_assert_eq(load_text(unterminated[j].text), -EINVAL);
			cr_assert_eq(load_text(wrong[i].text), -EINVAL);
			check_good();
		}
	}
}

/* And after overrides that leave the scanner somewhere. */
TEST(conf, good_file_after_bad_overrides)
{
	for (size_t i = 0; i < N(unterminated); i++)
		for (size_t j = 0; j < N(unterminated); j++) {
			cr_assert_eq(load_override(good, unterminated[i].text), -EINVAL);
			cr_assert_eq(load_override("", unterminated[j].text), -EINVAL);
			check_good();
		}
}

/* The defaults, which libconfuse scans too, survive the same. */
TEST(conf, defaults_after_bad_files)
{
	for (size_t i = 0; i < N(unterminated); i++) {
		cr_assert_eq(load_text(unterminated[i].text), -EINVAL);
		cr_assert_eq(load_path(NULL), 0, "%s", error.text);
		check_defaults();
	}
}

/* A reload after a reload: the same text gives the same, also many times. */
TEST(conf, repeated)
{
	unsigned before = helper_count_descriptors();

	for (int i = 0; i < 1000; i++)
		check_good();
	cr_assert_eq(helper_count_descriptors(), before);
}

/* No kind of refusal leaves a descriptor open. */
TEST(conf, descriptors_after_errors)
{
	unsigned before = helper_count_descriptors();

	for (size_t i = 0; i < N(wrong); i++)
		cr_assert_eq(load_text(wrong[i].text), -EINVAL);
	for (size_t i = 0; i < N(unterminated); i++)
		cr_assert_eq(load_text(unterminated[i].text), -EINVAL);
	cr_assert_eq(load_path("/"), -EINVAL);
	cr_assert_eq(load_path("/dev/zero"), -EINVAL);
	cr_assert_eq(helper_count_descriptors(), before);
}

/* What is printed on a broken file is the message only, nothing on stdout. */
TEST(conf, nothing_on_stdout)
{
	int out = helper_memory_file("", 0);
	struct stat st;

	cr_assert_eq(dup2(out, STDOUT_FILENO), STDOUT_FILENO);
	for (size_t i = 0; i < N(unterminated); i++)
		cr_assert_eq(load_text(unterminated[i].text), -EINVAL);
	fflush(stdout);
	cr_assert_eq(fstat(out, &st), 0);
	cr_assert_eq(st.st_size, 0, "%ld bytes", (long)st.st_size);
}

/* Prints a configuration into memory, which is the caller's to free. */
static char *print(const struct conf *c)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	cr_assert(out);
	conf_print(c, out);
	fclose(out);
	return text;
}

/* Of the defaults every row is printed, in order, as it stands in the table. */
TEST(conf, print_defaults)
{
	char *text, expected[4096];
	size_t n = 0;

	cr_assert_eq(load_path(NULL), 0);
	for (size_t i = 0; i < OPTION_COUNT; i++)
		n += (size_t)sprintf(expected + n, "%s = %s\n", option_table[i].name,
				     option_table[i].initial);
	text = print(&conf);
	cr_assert_str_eq(text, expected);
	free(text);
}

/* Fills in what no default is: values anywhere within their bounds. */
static void randomize(struct conf *c, struct helper_random *random)
{
	char text[ADDRESS_TEXT];

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *o = &option_table[i];
		uint64_t many = (uint64_t)helper_random(random, 1U << 31) << 31 |
				helper_random(random, 1U << 31);

		if (o->kind == OPTION_BOOLEAN)
			option_set(o, c, (int64_t)helper_random(random, 2));
		else if (o->kind != OPTION_ADDRESSES)
			option_set(o, c,
				   o->min + (int64_t)(many % (uint64_t)(o->max - o->min + 1)));
	}
	c->log_level = helper_random(random, 2) ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING;
	c->n_listen = 1 + helper_random(random, CONF_LISTEN_MAX);
	for (size_t i = 0; i < c->n_listen; i++) {
		unsigned port = helper_random(random, 65536);

		if (helper_random(random, 2))
			snprintf(text, sizeof(text), "127.0.%zu.%u:%u", i, port / 256, port);
		else
			snprintf(text, sizeof(text), "[fe80::%zx:%x%%1]:%u", i, port, port);
		c->listen[i] = helper_address(text);
	}
}

/* What is printed can be loaded, and gives the same configuration. */
TEST(conf, print_and_load)
{
	struct helper_random random = { 7 };

	for (int i = 0; i < 200; i++) {
		static struct conf original;
		char *text;

		randomize(&original, &random);
		text = print(&original);
		allow(text);
		check_equal(&conf, &original);
		free(text);
	}
}

static char kept_names[256];

static void note_kept(const char *name)
{
	strcat(kept_names, name);
	strcat(kept_names, " ");
}

/* A reload changes all but what only a restart can change, and says which that is. */
TEST(conf, keep_fixed)
{
	static struct conf running, next;

	allow("workers = 1 buffer_size = 4096 backlog = 1 listen = 127.0.0.1:1");
	running = conf;
	allow("workers = 2 buffer_size = 8192 backlog = 2 listen = 127.0.0.1:2");
	next = conf;
	conf_keep_fixed(&next, &running, note_kept);
	cr_assert_str_eq(kept_names, "workers buffer_size ");
	cr_assert_eq(next.workers, 1);
	cr_assert_eq(next.buffer_size, 4096);
	cr_assert_eq(next.backlog, 2);
	conf.workers = 1;
	conf.buffer_size = 4096;
	check_equal(&next, &conf);
	cr_assert_eq(running.backlog, 1);
}

/* Who changes nothing fixed hears nothing; who changes one, of that one. */
TEST(conf, keep_fixed_names_only_what_differs)
{
	static struct conf running, next;

	allow("workers = 1 backlog = 1");
	running = conf;
	allow("workers = 1 backlog = 2");
	next = conf;
	conf_keep_fixed(&next, &running, note_kept);
	cr_assert_str_empty(kept_names);
	next.buffer_size = 5000;
	conf_keep_fixed(&next, &running, note_kept);
	cr_assert_str_eq(kept_names, "buffer_size ");
}

/* A file that is not there is an error, unless it is allowed, and only that is. */
TEST(conf, missing_file)
{
	struct conf_source source = { .path = "/proc/self/no-such-file" };

	cr_assert_eq(conf_load(&conf, &source, &error), -ENOENT);
	cr_assert_str_eq(error.text, "/proc/self/no-such-file: No such file or directory");
	source.may_be_missing = true;
	cr_assert_eq(conf_load(&conf, &source, &error), 0);
	check_defaults();
	source.path = "/dev/null/no-such-file";
	cr_assert_eq(conf_load(&conf, &source, &error), -ENOTDIR);
	cr_assert_str_eq(error.text, "/dev/null/no-such-file: Not a directory");
}

/* Whether there was a file is noted, for a reload to know. */
TEST(conf, has_file)
{
	struct conf_source source = { .path = "/proc/self/no-such-file", .may_be_missing = true };

	allow("");
	cr_assert(conf.has_file);
	cr_assert_eq(load_path(NULL), 0);
	cr_assert_not(conf.has_file);
	cr_assert_eq(conf_load(&conf, &source, &error), 0);
	cr_assert_not(conf.has_file);
}

/* A missing file still leaves the overrides in force. */
TEST(conf, missing_file_with_overrides)
{
	const char *override = "workers = 3";
	struct conf_source source = {
		.path = "/proc/self/no-such-file",
		.may_be_missing = true,
		.overrides = &override,
		.n_overrides = 1,
	};

	cr_assert_eq(conf_load(&conf, &source, &error), 0);
	cr_assert_eq(conf.workers, 3);
}

/* What is no file with an end is not read at all. */
TEST(conf, not_a_file)
{
	static const char *const paths[] = { "/", "/dev", "/dev/zero", "/dev/full" };

	for (size_t i = 0; i < N(paths); i++) {
		char message[64];

		snprintf(message, sizeof(message), "%s: is not a regular file", paths[i]);
		cr_expect_eq(load_path(paths[i]), -EINVAL, "%s", paths[i]);
		cr_expect_str_eq(error.text, message);
	}
}

/* A FIFO is refused at once, without waiting for a writer or for what he writes. */
TEST(conf, fifo)
{
	char folder[] = "/tmp/echod-test-XXXXXX", path[64];
	int fds[2];

	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/fifo", folder);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_expect_eq(load_path(path), -EINVAL);
	check_words("/fifo: is not a regular file");
	unlink(path);
	rmdir(folder);
	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(load_path(helper_path(fds[0])), -EINVAL);
	check_words("is not a regular file");
	close(fds[0]);
	close(fds[1]);
}

/* A file of exactly 64 KiB is read to its end, a larger one is refused. */
TEST(conf, size)
{
	static char text[FILE_MAX + 1];

	memset(text, '\n', sizeof(text));
	memcpy(text + FILE_MAX - 11, "workers = 3", 11);
	cr_assert_eq(load(text, FILE_MAX, NULL, 0), 0, "%s", error.text);
	cr_assert_eq(conf.workers, 3);
	cr_assert_eq(load(text, FILE_MAX + 1, NULL, 0), -EINVAL);
	check_words("is larger than 64 KiB");
}

/* A NUL byte, wherever it is, would hide what follows. */
TEST(conf, nul_byte)
{
	static const char text[] = "workers = 3\n\0backlog = 4\n";
	size_t size = sizeof(text) - 1;

	cr_assert_eq(load(text, size, NULL, 0), -EINVAL);
	check_words("contains a NUL byte");
	cr_assert_eq(load(text, 13, NULL, 0), -EINVAL);
	cr_assert_eq(load(text + 12, size - 12, NULL, 0), -EINVAL);
	cr_assert_eq(load(text, 12, NULL, 0), 0);
}

/* A file that may not be read is refused with the reason. */
TEST(conf, unreadable_file)
{
	int fd = helper_memory_file("workers = 3", 11);

	if (geteuid() == 0)
		cr_skip_test("root may read everything");
	cr_assert_eq(fchmod(fd, 0), 0);
	cr_assert_eq(load_path(helper_path(fd)), -EACCES);
	check_words("Permission denied");
	close(fd);
}

/* Refuses a text of n times the same, between a start and an end. */
static void refuse_repeated(const char *start, char c, size_t n, const char *end)
{
	static char text[FILE_MAX + 1];
	size_t size = strlen(start);

	strcpy(text, start);
	memset(text + size, c, n);
	strcpy(text + size + n, end);
	cr_expect_eq(load_text(text), -EINVAL, "%s, %zu times %c, %s", start, n, c, end);
	cr_expect_gt(strlen(error.text), 0);
	cr_expect_lt(strlen(error.text), sizeof(error.text));
	check_good();
}

/* The shapes of files that crash or have crashed libconfuse are refused in order. [F48] */
TEST(conf, hostile_shapes)
{
	refuse_repeated("", '{', 40000, "");
	refuse_repeated("listen = ", '{', 40000, "");
	refuse_repeated("listen ", '{', 40000, "");
	refuse_repeated("", '}', 40000, "");
	refuse_repeated("", '(', 40000, "");
	refuse_repeated("", '=', 40000, "");
	refuse_repeated("", 'a', 65000, "");
	refuse_repeated("", 'a', 65000, " = 1");
	refuse_repeated("workers = ", '9', 65000, "");
	refuse_repeated("log_level = \"", 'a', 65000, "\"");
	refuse_repeated("log_level = '", 'a', 65000, "'");
	refuse_repeated("log_level = \"", '\\', 65001, "");
	refuse_repeated("listen = {\"", '[', 65000, "\"}");
	refuse_repeated("listen = ~", '/', 65000, "");
	refuse_repeated("/*", '*', 65000, "");
	refuse_repeated("workers = ", '$', 65000, "");
	refuse_repeated("workers = ${", 'A', 65000, "}");
}

/* And those that are valid are read. [F48] */
TEST(conf, harmless_shapes)
{
	static char text[FILE_MAX + 1];

	memset(text, '#', 65000);
	strcpy(text + 65000, "\nworkers = 3");
	allow(text);
	cr_assert_eq(conf.workers, 3);
	memset(text, '\n', 65000);
	allow(text);
	memcpy(text, "/*", 2);
	memset(text + 2, '*', 64998);
	strcpy(text + 65000, "/ workers = 4");
	allow(text);
	cr_assert_eq(conf.workers, 4);
	allow("/**//***/#\n//\n/**/ workers = 5");
	cr_assert_eq(conf.workers, 5);
}

/* Changes a few bytes of the good text. */
static void mutate(char *text, size_t size, struct helper_random *random)
{
	static const char interesting[] = "\"'\\/*#{}()=+,$~ \n\r\t[]:.0a\xff";

	strcpy(text, good);
	for (uint32_t n = 1 + helper_random(random, 6); n > 0; n--) {
		uint32_t at = helper_random(random, (uint32_t)size);

		text[at] = interesting[helper_random(random, sizeof(interesting) - 1)];
	}
	text[helper_random(random, 4) ? size : helper_random(random, (uint32_t)size)] = '\0';
}

/* Damaged files are accepted or refused with a message, and never spoil the next. [F46] */
TEST(conf, mutations)
{
	struct helper_random random = { 4711 };
	char text[256];

	cr_assert_lt(strlen(good), sizeof(text));
	for (int i = 0; i < 20000; i++) {
		int r;

		mutate(text, strlen(good), &random);
		r = load_text(text);
		cr_assert(r == 0 || r == -EINVAL, "%d for %s", r, text);
		cr_assert_eq(*error.text == '\0', r == 0, "%d with \"%s\"", r, error.text);
		if (r < 0)
			check_good();
	}
}

/* Text of up to 12 fragments that mean something to the scanner. */
static void put_fragments(char *text, struct helper_random *random)
{
	static const char *const fragments[] = {
		"\"",
		"'",
		"/*",
		"*/",
		"/",
		"//",
		"#",
		"\\",
		"\n",
		"\r\n",
		" ",
		"*",
		"${",
		"$",
		"{",
		"}",
		":-",
		"=",
		"+",
		",",
		"(",
		")",
		"a",
		";",
		"\t",
		"\"\"",
		"''",
		"workers = 4",
		"listen = {127.0.0.1:7}",
	};

	*text = '\0';
	for (uint32_t n = helper_random(random, 12) + 1; n > 0; n--)
		strcat(text, fragments[helper_random(random, N(fragments))]);
}

/*
 * No setting of an accepted file, and no override, is swallowed by what stands
 * before it, however our reading of quotes and comments and libconfuse's go.
 */
TEST(conf, nothing_is_swallowed)
{
	struct helper_random random = { 42 };
	char text[512];
	int accepted = 0;

	for (int i = 0; i < 50000; i++) {
		put_fragments(text, &random);
		strcat(text, "\nbacklog = 77");
		if (load_override(text, "workers = 9") < 0)
			continue;
		accepted++;
		cr_assert(conf.backlog == 77 && conf.workers == 9, "after %s\nthere are %ld, %ld",
			  text, conf.backlog, conf.workers);
	}
	cr_assert_gt(accepted, 1000);
}
