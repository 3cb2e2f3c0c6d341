/* SPDX-License-Identifier: MIT */
#include "conf/conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/option.h"
#include "helper.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))
#define FILE_MAX 65536

static struct conf conf;
static struct problems problems;

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
	int r = conf_load(&conf, &source, &problems);

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

	return conf_load(&conf, &source, &problems);
}

static void allow(const char *text)
{
	cr_assert_eq(load_text(text), 0, "%s\nis refused: %s", text, problems.text[0]);
	cr_assert_eq(problems.n, 0);
}

static void check_words(const char *words)
{
	cr_expect(strstr(problems.text[0], words), "\"%s\" does not say \"%s\"", problems.text[0],
		  words);
}

/* The text is refused, and the message says where and contains the words. */
static void refuse(const char *text, int line, const char *words)
{
	char where[64];
	int fd = helper_memory_file(text, strlen(text));
	int r = load_path(helper_path(fd));

	snprintf(where, sizeof(where), "%s:%d: ", helper_path(fd), line);
	cr_expect_eq(r, -EINVAL, "%s\nis not refused", text);
	cr_expect_eq(strncmp(problems.text[0], where, strlen(where)), 0, "%s\ngives: %s\nnot: %s",
		     text, problems.text[0], where);
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
		const struct conf_option *o = &option_table[i];
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

static const char *const wrong[] = {
	"workers = x\n",
	"\n\nbacklog = 0\n",
	"backlog = 65536",
	"idle_timeout = -1",
	"idle_timeout = 99999999999999999999",
	"idle_timeout = 10x",
	"workers = \"\"",
	"workers = 2;",
	"workers = 1\ntcp_nodelay = maybe",
	"log_level = loud",
	"listen = \"localhost:7\"",
	"listen = {\n\"127.0.0.1:7\",\n\"127.0.0.1\"}\n",
	"listen = ~/",
	"log_level = ~/",
	"\nverbose = 1",
	"Workers = 1",
	"include(\"/dev/null\")",
	"workers 2",
	"workers {",
	"workers\n\n\n",
	"workers =",
	"listen = {127.0.0.1:7",
	"listen = {127.0.0.1:7,\n",
	"workers = {2}",
	"workers += 2",
	"workers = = 2",
	"listen = {,}",
	"listen = {127.0.0.1:7 127.0.0.1:8}",
	"listen = {{127.0.0.1:7}}",
	"\n}",
	"{",
	"*/",
	"log_level = \"\\9\"",
	"log_level = \"\\777\"",
};

/* Texts with quotes and comments that do not end. */
static const char *const unterminated[] = {
	"\"",
	"'",
	"/*",
	"/*/",
	"\"\\",
	"'\\",
	"'\\'",
	"/* *",
	"log_level = debug\n\"workers",
	"log_level = debug\n'workers",
	"log_level = debug\n/* workers\n",
	"log_level = \"debug",
	"\nlog_level = 'debug\n\n",
	"log_level = debug /* \"*\" / '*' /",
	"listen = {\"127.0.0.1:7\", \"127",
	"listen = {'127.0.0.1:7',\n'127",
	"listen = {'127.0.0.1:7', \"127.0.0.1:8'}\n",
	"log_level = \"${HOME",
	"log_level = \"debug\\\"",
	"# \" it's\n/* it's */ \"probe = 1",
	"/* probe = 1",
};

/* The message is one line, whatever the file contains. */
TEST(conf, message_is_one_line)
{
	static const char *const texts[] = { "log_level = \"a\nb\"", "log_level = \"a\\nb\"",
					     "'a\nb' = 1", "listen = '\n'" };

	for (size_t i = 0; i < N(texts); i++) {
		cr_expect_eq(load_text(texts[i]), -EINVAL);
		cr_expect_null(strchr(problems.text[0], '\n'), "%s", problems.text[0]);
	}
}

static const char *const good = "workers = 3\nlisten = {\"127.0.0.1:9\"} # comment\n"
				"log_level = 'debug' /* comment */\nbacklog = \"4\"\n";

static void check_good(void)
{
	cr_assert_eq(load_text(good), 0, "%s", problems.text[0]);
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
				cr_assert_eq(load_text(unterminated[i]), -EINVAL);
				cr_assert_eq(load_text(unterminated[j]), -EINVAL);
				cr_assert_eq(load_text(unterminated[k]), -EINVAL);
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
		cr_expect_eq(load_text(good), 0, "%s\nspoils the next: %s", texts[i],
			     problems.text[0]);
		cr_expect_eq(conf.workers, 3, "%s\nspoils the next", texts[i]);
		cr_expect_eq(conf.n_listen, 1, "%s\nspoils the next", texts[i]);
	}
}

/* As after files with any other mistake. */
TEST(conf, good_file_after_wrong_ones)
{
	for (size_t i = 0; i < N(wrong); i++) {
		cr_assert_eq(load_text(wrong[i]), -EINVAL);
		check_good();
		for (size_t j = 0; j < N(unterminated); j++) {
			cr_assert_eq(load_text(unterminated[j]), -EINVAL);
			cr_assert_eq(load_text(wrong[i]), -EINVAL);
			check_good();
		}
	}
}

/* And after overrides that leave the scanner somewhere. */
TEST(conf, good_file_after_bad_overrides)
{
	for (size_t i = 0; i < N(unterminated); i++)
		for (size_t j = 0; j < N(unterminated); j++) {
			cr_assert_eq(load_override(good, unterminated[i]), -EINVAL);
			cr_assert_eq(load_override("", unterminated[j]), -EINVAL);
			check_good();
		}
}

/* The defaults, which libconfuse scans too, survive the same. */
TEST(conf, defaults_after_bad_files)
{
	for (size_t i = 0; i < N(unterminated); i++) {
		cr_assert_eq(load_text(unterminated[i]), -EINVAL);
		cr_assert_eq(load_path(NULL), 0, "%s", problems.text[0]);
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
		cr_assert_eq(load_text(wrong[i]), -EINVAL);
	for (size_t i = 0; i < N(unterminated); i++)
		cr_assert_eq(load_text(unterminated[i]), -EINVAL);
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
		cr_assert_eq(load_text(unterminated[i]), -EINVAL);
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
		const struct conf_option *o = &option_table[i];
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

	allow("workers = 1\nbuffer_size = 4096\nbacklog = 1\nlisten = 127.0.0.1:1");
	running = conf;
	allow("workers = 2\nbuffer_size = 8192\nbacklog = 2\nlisten = 127.0.0.1:2");
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

	allow("workers = 1\nbacklog = 1");
	running = conf;
	allow("workers = 1\nbacklog = 2");
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

	cr_assert_eq(conf_load(&conf, &source, &problems), -ENOENT);
	cr_assert_str_eq(problems.text[0], "/proc/self/no-such-file: No such file or directory");
	source.may_be_missing = true;
	cr_assert_eq(conf_load(&conf, &source, &problems), 0);
	check_defaults();
	source.path = "/dev/null/no-such-file";
	cr_assert_eq(conf_load(&conf, &source, &problems), -ENOTDIR);
	cr_assert_str_eq(problems.text[0], "/dev/null/no-such-file: Not a directory");
}

/* A link to a file that is not there is no missing file, wherever it lies. */
TEST(conf, dangling_link)
{
	char folder[] = "/tmp/echod-test-XXXXXX", path[64];
	struct conf_source source = { .path = path, .may_be_missing = true };

	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/link", folder);
	cr_assert_eq(symlink("nowhere", path), 0);
	cr_expect_eq(conf_load(&conf, &source, &problems), -ENOLINK);
	check_words("/link: is a symbolic link to nowhere, which does not exist");
	unlink(path);
	cr_assert_eq(symlink("link", path), 0);
	cr_expect_eq(conf_load(&conf, &source, &problems), -ELOOP);
	unlink(path);
	cr_expect_eq(conf_load(&conf, &source, &problems), 0);
	rmdir(folder);
	cr_expect_eq(conf_load(&conf, &source, &problems), 0);
}

/* Whether there was a file is noted, for a reload to know. */
TEST(conf, has_file)
{
	struct conf_source source = { .path = "/proc/self/no-such-file", .may_be_missing = true };

	allow("");
	cr_assert(conf.has_file);
	cr_assert_eq(load_path(NULL), 0);
	cr_assert_not(conf.has_file);
	cr_assert_eq(conf_load(&conf, &source, &problems), 0);
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

	cr_assert_eq(conf_load(&conf, &source, &problems), 0);
	cr_assert_eq(conf.workers, 3);
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
	cr_expect_gt(strlen(problems.text[0]), 0);
	cr_expect_lt(strlen(problems.text[0]), sizeof(problems.text[0]));
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
		cr_assert_eq(problems.n == 0, r == 0, "%d with %u", r, problems.n);
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
