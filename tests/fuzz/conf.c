/* SPDX-License-Identifier: MIT */
/*
 * The configuration file.  The input is the file, and after a byte 0xff an
 * override as for -o, and so on.
 *
 * A file is refused with all reasons, each in one line, or gives values that are
 * allowed, each time the same, also after it was printed and read again, and
 * what is appended to it is in force.
 * Whatever it was, the next file is read as if it were the first one: the
 * scanner of libconfuse is global.
 */
#include "conf/conf.h"

#include <ctype.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf/option.h"
#include "fuzz.h"

#define OVERRIDES 8
#define SEPARATOR 0xff

enum { REFUSED, ACCEPTED, WITH_OVERRIDES };

struct fuzz_outcome fuzz_outcomes[] = {
	[REFUSED] = { "a file that is refused", 0 },
	[ACCEPTED] = { "a file that is accepted", 0 },
	[WITH_OVERRIDES] = { "a file that is accepted with overrides", 0 },
	{ 0 },
};

/* A file in memory with a path. */
struct file {
	int fd;
	char path[32];
};

static void file_write(struct file *file, const void *data, size_t size)
{
	if (!*file->path) {
		file->fd = memfd_create("conf", MFD_CLOEXEC);
		snprintf(file->path, sizeof(file->path), "/proc/self/fd/%d", file->fd);
	}
	if (ftruncate(file->fd, 0) < 0 || pwrite(file->fd, data, size, 0) != (ssize_t)size)
		abort();
}

static void check_refusal(const struct problems *problems)
{
	fuzz_check(problems->n >= 1 && problems->n <= PROBLEMS_MAX + 1);
	for (unsigned i = 0; i < problems->n; i++) {
		fuzz_check(*problems->text[i]);
		for (const char *c = problems->text[i]; *c; c++)
			fuzz_check(!iscntrl((unsigned char)*c));
	}
}

static void check_addresses(const struct conf *conf)
{
	fuzz_check(conf->n_listen >= 1 && conf->n_listen <= CONF_LISTEN_MAX);
	for (size_t i = 0; i < conf->n_listen; i++) {
		fuzz_check(conf->listen[i].size == (conf->listen[i].any.sa_family == AF_INET ?
							    sizeof(struct sockaddr_in) :
							    sizeof(struct sockaddr_in6)));
		for (size_t j = 0; j < i; j++)
			fuzz_check(!address_equal(&conf->listen[i], &conf->listen[j]));
	}
}

static void check_values(const struct conf *conf)
{
	check_addresses(conf);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct conf_option *o = &option_table[i];
		int64_t value = o->kind == OPTION_ADDRESSES ? 0 : option_get(o, conf);
		char text[QUANTITY_TEXT];

		if (o->kind != OPTION_ADDRESSES && o->max > o->min)
			fuzz_check(value >= (o->kind == OPTION_SHARE ? -100 : o->min) &&
				   value <= o->max);
		if (o->kind == OPTION_BOOLEAN)
			fuzz_check(value == 0 || value == 1);
		if (o->kind == OPTION_LEVEL)
			fuzz_check(option_parse(o, option_format(o, value, text), &value) == 0);
	}
}

static void check_same(const struct conf *a, const struct conf *b)
{
	fuzz_check(a->n_listen == b->n_listen);
	for (size_t i = 0; i < a->n_listen; i++)
		fuzz_check(address_equal(&a->listen[i], &b->listen[i]));
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (option_table[i].kind != OPTION_ADDRESSES)
			fuzz_check(option_get(&option_table[i], a) ==
				   option_get(&option_table[i], b));
}

/* What is printed is a file that says the same. */
static void check_printed(const struct conf *conf)
{
	static struct file printed;
	struct conf_source source = { .path = printed.path };
	struct problems problems;
	struct conf again;
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		abort();
	conf_print(conf, out);
	fclose(out);
	file_write(&printed, text, size);
	free(text);
	fuzz_check(conf_load(&again, &source, &problems) == 0);
	check_same(conf, &again);
}

/* What stands at the end is read: nothing before it has swallowed it. */
static void check_appended(const struct conf *conf, const char *text, size_t size)
{
	static const char more[] = "\nworkers = 3\n";
	static struct file longer;
	struct conf_source source = { .path = longer.path };
	struct conf expected = *conf, found;
	struct problems problems;
	char *whole = malloc(size + strlen(more));

	if (!whole)
		abort();
	memcpy(whole, text, size);
	memcpy(whole + size, more, strlen(more));
	file_write(&longer, whole, size + strlen(more));
	free(whole);
	expected.workers = 3;
	fuzz_check(conf_load(&found, &source, &problems) == 0);
	check_same(&expected, &found);
}

/* A good file is read as what it is, with the defaults of all else. */
static void check_next(void)
{
	static const char good[] = "# next\nlisten = \"127.0.0.1:9\"\nmax_connections = 3\n";
	static struct file next;
	struct conf_source source = { .path = next.path };
	struct problems problems;
	struct conf conf;

	if (!*next.path)
		file_write(&next, good, strlen(good));
	fuzz_check(conf_load(&conf, &source, &problems) == 0);
	fuzz_check(conf.n_listen == 1 && address_port(&conf.listen[0]) == 9);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct conf_option *o = &option_table[i];
		int64_t value = 3;

		if (o->kind == OPTION_ADDRESSES)
			continue;
		if (strcmp(o->name, "max_connections") != 0)
			fuzz_check(option_parse(o, o->initial, &value) == 0);
		fuzz_check(option_get(o, &conf) == value);
	}
}

/* Cuts the overrides off text, in place.  Returns what is left for the file. */
static size_t split(char *text, size_t size, const char **overrides, size_t *n)
{
	char *at = memchr(text, SEPARATOR, size);
	size_t left = at ? (size_t)(at - text) : size;

	for (*n = 0; at && *n < OVERRIDES; at = strchr(at, SEPARATOR)) {
		*at++ = '\0';
		overrides[(*n)++] = at;
	}
	return left;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct file file;
	const char *overrides[OVERRIDES];
	struct conf_source source = { .path = file.path, .overrides = overrides };
	struct problems problems;
	struct conf first, second;
	char *text = malloc(size + 1);
	int r;

	if (!text)
		abort();
	setenv("SEVEN", "7", 1); /* for ${SEVEN} */
	memcpy(text, data, size);
	text[size] = '\0';
	size = split(text, size, overrides, &source.n_overrides);
	file_write(&file, text, size);
	r = conf_load(&first, &source, &problems);
	fuzz_outcomes[r < 0 ? REFUSED : source.n_overrides > 0 ? WITH_OVERRIDES : ACCEPTED].n++;
	if (r < 0) {
		check_refusal(&problems);
	} else {
		check_values(&first);
		fuzz_check(conf_load(&second, &source, &problems) == 0);
		check_same(&first, &second);
		check_printed(&first);
		if (source.n_overrides == 0 && size < 60000)
			check_appended(&first, text, size);
	}
	check_next();
	free(text);
	return 0;
}
