/* SPDX-License-Identifier: MIT */
/*
 * What functional/conf.cases cannot reach: one process that reads many files, and places
 * where there is no file.  libconfuse's scanner is global: a reload must read a good file
 * as it is, whatever the files before it left the scanner in.
 */
#include "conf/conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/option.h"
#include "helper.h"

#define FILE_MAX 65536

static struct conf conf;
static struct problems problems;

TestSuite(conf, .timeout = HELPER_TIMEOUT);

/* Loads a file of this text, and then the override, if there is one. */
static int load(const char *text, const char *override)
{
	int fd = helper_memory_file(text, strlen(text));
	struct conf_source source = {
		.path = helper_path(fd),
		.overrides = &override,
		.n_overrides = override != NULL,
	};
	int r = conf_load(&conf, &source, &problems);

	close(fd);
	return r;
}

static void allow(const char *text)
{
	cr_assert_eq(load(text, NULL), 0, "%s\nis refused: %s", text, problems.text[0]);
	cr_assert_eq(problems.n, 0);
}

static void refuse(const char *text, const char *override)
{
	cr_assert_eq(load(text, override), -EINVAL, "%.100s\nis accepted", text);
	cr_assert(*problems.text[0] && !strchr(problems.text[0], '\n'), "%s", problems.text[0]);
	cr_assert_lt(strlen(problems.text[0]), sizeof(problems.text[0]));
}

static void check_listen(size_t i, const char *text)
{
	char buffer[ADDRESS_TEXT];

	cr_assert_lt(i, conf.n_listen);
	cr_assert_str_eq(address_format(&conf.listen[i], buffer), text);
}

/* Without a file each option is as the table says. */
static void check_defaults(void)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct conf_option *o = &option_table[i];
		char buffer[QUANTITY_TEXT];

		if (o->kind != OPTION_ADDRESSES)
			cr_expect_str_eq(option_format(o, option_get(o, &conf), buffer), o->initial,
					 "%s", o->name);
	}
	cr_assert_eq(conf.n_listen, 2);
	check_listen(0, "0.0.0.0:7");
	check_listen(1, "[::]:7");
}

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

static const char *const good = "workers = 3\nlisten = {\"127.0.0.1:9\"} # comment\n"
				"log_level = 'debug' /* comment */\nbacklog = \"4\"\n";

static void check_good(void)
{
	allow(good);
	cr_assert(conf.workers == 3 && conf.backlog == 4);
	cr_assert(conf.log_level == LOG_LEVEL_DEBUG && conf.n_listen == 1);
	check_listen(0, "127.0.0.1:9");
}

/* There is room for 64 addresses, also with those of the override, and not for one more. */
TEST(conf, too_many_addresses)
{
	char text[4096] = "listen = {";

	for (int i = 1; i <= CONF_LISTEN_MAX; i++)
		sprintf(text + strlen(text), "127.0.0.1:%d%s", i, i < CONF_LISTEN_MAX ? "," : "}");
	allow(text);
	cr_assert_eq(conf.n_listen, CONF_LISTEN_MAX);
	check_listen(63, "127.0.0.1:64");
	refuse(text, "listen += 127.0.0.1:65");
	cr_expect(strstr(problems.text[0], "only 64 addresses are allowed"));
	memcpy(text, "listen +=", 9);
	refuse(text, NULL);
}

/* Texts that end within quotes, a comment or a list, or that mean other things to libconfuse. */
static const char *const bad[] = {
	/* quotes and comments */
	"\"", "'", "/*", "/*/", "\"\\", "'\\", "'\\'", "/* *", "*/", "\n}", "{",
	"log_level = debug\n\"workers", "log_level = debug\n'workers",
	"log_level = debug\n/* workers\n", "log_level = \"debug", "\nlog_level = 'debug\n\n",
	"log_level = debug /* \"*\" / '*' /", "log_level = \"${HOME", "log_level = \"debug\\\"",
	"# \" it's\n/* it's */ \"probe = 1", "/* probe = 1", "log_level = \"a\nb\"", "'a\nb' = 1",
	"log_level = \"a\\nb\"", "log_level = \"\\9\"", "log_level = \"\\777\"",
	/* lists */
	"listen = {\"127.0.0.1:7\", \"127", "listen = {'127.0.0.1:7',\n'127", "listen = '\n'",
	"listen = {'127.0.0.1:7', \"127.0.0.1:8'}\n", "listen = {127.0.0.1:7,\n", "workers {",
	"listen = {,}", "listen = {{127.0.0.1:7}}", "workers = {2}", "workers =",
	/* what libconfuse would do */
	"listen = ~/", "log_level = ~/", "include(\"/dev/null\")", "workers = 4 */* backlog = 5",
	"workers = 4 */*\nbacklog = 5 /* */ */ x", "workers = 4\n\"${ECHOD_TEST\"}\nbacklog = 5",
	"workers = 4\n\"${ECHOD_TEST\"}\nbacklog = 5\n\"${ECHOD_TEST\"}",
	"workers = ${ECHOD_TEST'}\nbacklog = 5", "workers = 4/*\nbacklog = 5 */"
};

/* A good file is read as what it is after any three bad ones, and so are the defaults. */
TEST(conf, good_file_after_bad_ones)
{
	struct conf_source none = { .path = NULL };
	unsigned before = helper_count_descriptors();

	helper_catch(STDOUT_FILENO);
	for (size_t i = 0; i < COUNT(bad); i++) {
		for (size_t j = 0; j < COUNT(bad); j++) {
			refuse(bad[i], NULL);
			refuse(bad[j], NULL);
			check_good();
			refuse(bad[j], NULL);
			refuse(bad[(i + j) % COUNT(bad)], NULL);
			refuse(bad[i], NULL);
			check_good();
			refuse(good, bad[i]);
			refuse("", bad[j]);
			check_good();
		}
		refuse(bad[i], NULL);
		memset(&conf, 0xff, sizeof(conf));
		cr_assert_eq(conf_load(&conf, &none, &problems), 0);
		check_defaults();
	}
	cr_assert_str_empty(helper_caught(), "libconfuse has printed something");
	cr_assert_eq(helper_count_descriptors(), before + 1);
}

static char kept[256];

static void note_kept(const char *name)
{
	strcat(strcat(kept, name), " ");
}

/* A reload changes all but what only a restart can change, and says which of that differs. */
TEST(conf, keep_fixed)
{
	static struct conf running, next;

	allow("workers = 1\nbuffer_size = 4096\nbacklog = 1\nlisten = 127.0.0.1:1");
	running = conf;
	allow("workers = 2\nbuffer_size = 8192\nbacklog = 2\nlisten = 127.0.0.1:2");
	next = conf;
	conf_keep_fixed(&next, &running, note_kept);
	cr_assert_str_eq(kept, "workers buffer_size ");
	conf.workers = 1;
	conf.buffer_size = 4096;
	check_equal(&next, &conf);
	next.buffer_size = 5000;
	*kept = '\0';
	conf_keep_fixed(&next, &running, note_kept);
	cr_assert_str_eq(kept, "buffer_size ");
	conf_keep_fixed(&next, &running, note_kept);
	cr_assert_str_eq(kept, "buffer_size ");
}

static void check_missing(const char *path, int error, const char *words)
{
	const char *override = "workers = 3";
	struct conf_source source = {
		.path = path, .may_be_missing = true, .overrides = &override, .n_overrides = 1
	};

	cr_expect_eq(conf_load(&conf, &source, &problems), error, "%s", path);
	if (error < 0)
		cr_expect(strstr(problems.text[0], words), "%s", problems.text[0]);
	else
		cr_expect(!conf.has_file && conf.workers == 3, "%s", path);
}

/*
 * Only a file that is not there may be missing, and then the overrides are in force; a
 * link to nowhere is no missing file.
 */
TEST(conf, missing_file)
{
	char folder[] = "/tmp/echod-test-XXXXXX", path[64];

	allow("");
	cr_assert(conf.has_file);
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/link", folder);
	check_missing(path, 0, "");
	check_missing("/dev/null/no-such-file", -ENOTDIR,
		      "/dev/null/no-such-file: Not a directory");
	cr_assert_eq(symlink("nowhere", path), 0);
	check_missing(path, -ENOLINK, "/link: is a symbolic link to nowhere, which does not exist");
	unlink(path);
	cr_assert_eq(symlink("link", path), 0);
	check_missing(path, -ELOOP, "symbolic links");
	unlink(path);
	rmdir(folder);
	check_missing(path, 0, "");
}

/* A text of n times the same, between a start and an end. */
static const char *repeat(const char *start, char c, size_t n, const char *end)
{
	static char text[FILE_MAX + 1];
	size_t size = strlen(start);

	strcpy(text, start);
	memset(text + size, c, n);
	strcpy(text + size + n, end);
	return text;
}

/* The shapes of files that crash or have crashed libconfuse are refused with a message. [F48] */
TEST(conf, hostile_shapes)
{
	static const struct {
		const char *start, *c, *end;
	} shapes[] = {
		{ "", "{}(=a", "" },
		{ "listen = ", "{", "" },
		{ "listen ", "{", "" },
		{ "", "a", " = 1" },
		{ "workers = ", "9$", "" },
		{ "log_level = \"", "a", "\"" },
		{ "log_level = '", "a", "'" },
		{ "log_level = \"", "\\", "" },
		{ "listen = {\"", "[", "\"}" },
		{ "listen = ~", "/", "" },
		{ "/*", "*", "" },
		{ "workers = ${", "A", "}" },
	};

	for (size_t i = 0; i < COUNT(shapes); i++)
		for (const char *c = shapes[i].c; *c; c++)
			for (size_t n = 65000; n <= 65001; n++) {
				refuse(repeat(shapes[i].start, *c, n, shapes[i].end), NULL);
				check_good();
			}
}

/* And those that are valid are read. [F48] */
TEST(conf, harmless_shapes)
{
	allow(repeat("", '#', 65000, "\nworkers = 3"));
	cr_assert_eq(conf.workers, 3);
	allow(repeat("", '\n', 65000, ""));
	allow(repeat("/*", '*', 64998, "/ workers = 4"));
	cr_assert_eq(conf.workers, 4);
	allow("/**//***/#\n//\n/**/ workers = 5");
	cr_assert_eq(conf.workers, 5);
}

/* Damages a good text in a few places. */
static void damage(char *text, struct helper_random *random)
{
	static const char interesting[] = "\"'\\/*#{}()=+,$~ \n\r\t[]:.0a\xff";
	uint32_t size = (uint32_t)strlen(good);

	strcpy(text, good);
	for (uint32_t n = 1 + helper_random(random, 6); n > 0; n--)
		text[helper_random(random, size)] =
			interesting[helper_random(random, sizeof(interesting) - 1)];
	text[helper_random(random, 4) ? size : helper_random(random, size)] = '\0';
}

/* Puts up to 12 pieces together that mean something to the scanner. */
static void put_pieces(char *text, struct helper_random *random)
{
	static const char *const pieces[] = { /* quotes, comments, variables and the rest */
					      "\"",
					      "'",
					      "\\",
					      "\"\"",
					      "''",
					      "/*",
					      "*/",
					      "/",
					      "//",
					      "#",
					      "*",
					      "${",
					      "$",
					      "{",
					      "}",
					      ":-",
					      "\n",
					      "\r\n",
					      " ",
					      "\t",
					      "=",
					      "+",
					      ",",
					      "(",
					      ")",
					      "a",
					      ";",
					      "workers = 4",
					      "listen = {127.0.0.1:7}"
	};

	*text = '\0';
	for (uint32_t n = helper_random(random, 12) + 1; n > 0; n--)
		strcat(text, pieces[helper_random(random, COUNT(pieces))]);
}

/*
 * Damaged files are accepted or refused with a message, and never spoil the next; no
 * setting of an accepted one, and no override, is swallowed by what stands before it,
 * however our reading of quotes and comments and libconfuse's go. [F46]
 */
TEST(conf, mutations)
{
	struct helper_random random = { 4711 };
	char text[512];
	int accepted = 0;

	for (int i = 0; i < 24000; i++) {
		int r;

		(i % 3 ? put_pieces : damage)(text, &random);
		strcat(text, "\nbacklog = 77");
		r = load(text, "workers = 9");
		cr_assert(r == 0 || r == -EINVAL, "%d for %s", r, text);
		cr_assert_eq(problems.n == 0, r == 0, "%d with %u", r, problems.n);
		if (r < 0 && i % 3 == 0)
			check_good();
		accepted += r == 0;
		cr_assert(r < 0 || (conf.backlog == 77 && conf.workers == 9),
			  "after %s\nthere are %ld, %ld", text, conf.backlog, conf.workers);
	}
	cr_assert_gt(accepted, 500);
}
