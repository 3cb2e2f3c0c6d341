/* SPDX-License-Identifier: MIT */
/*
 * Words that a person types: addresses, values of options, the command lines
 * of echod and of echoc, echoc's target.  The first byte says which of these,
 * the rest is the word, or lines of which each is an argument.
 *
 * What is accepted is within its range, and written out and read again it is
 * the same.
 */
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/address.h"
#include "conf/option.h"
#include "echoc/options.h"
#include "echoc/target.h"
#include "fuzz.h"
#include "supervisor/cmdline.h"

#define ARGUMENTS 64

/* A command line. */
struct words {
	int argc;
	char *argv[ARGUMENTS + 2];
	size_t used;
	char text[32768];
};

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		       struct addrinfo **found);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		       struct addrinfo **found);

/* No server is asked for names. */
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		       struct addrinfo **found)
{
	struct addrinfo numeric = *hints;

	numeric.ai_flags |= AI_NUMERICHOST;
	return __real_getaddrinfo(host, port, &numeric, found);
}

__attribute__((format(printf, 2, 3))) static void add(struct words *w, const char *fmt, ...)
{
	size_t room = sizeof(w->text) - w->used;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(w->text + w->used, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room || w->argc == ARGUMENTS)
		abort();
	w->argv[w->argc++] = w->text + w->used;
	w->argv[w->argc] = NULL;
	w->used += (size_t)n + 1;
}

static void begin(struct words *w, const char *program)
{
	w->argc = 0;
	w->used = 0;
	add(w, "%s", program);
}

/* Takes the lines of a text apart; only so many as fit, leaving room to write them anew. */
static void split(struct words *w, const char *program, char *text)
{
	char *line;

	begin(w, program);
	while (w->argc < ARGUMENTS / 2 && (line = strsep(&text, "\n")))
		add(w, "%s", line);
}

/* The parsers print help and complaints. */
static int quietly(int (*parse)(void *, int, char **), void *result, struct words *w)
{
	static FILE *null;
	FILE *out = stdout, *err = stderr;
	int status;

	if (!null)
		null = fopen("/dev/null", "w");
	stdout = stderr = null;
	optind = 0; /* begins anew, see getopt(3) */
	status = parse(result, w->argc, w->argv);
	stdout = out;
	stderr = err;
	return status;
}

enum { ADDRESS, OPTION, TARGET, OF_ECHOD, OF_ECHOC };

struct fuzz_outcome fuzz_outcomes[] = {
	[ADDRESS] = { "an address that is accepted", 0 },
	[OPTION] = { "an option that is accepted", 0 },
	[TARGET] = { "a target that is accepted", 0 },
	[OF_ECHOD] = { "a command line of echod that is accepted", 0 },
	[OF_ECHOC] = { "a command line of echoc that is accepted", 0 },
	{ 0 },
};

static void check_address(const char *text)
{
	char one[ADDRESS_TEXT], two[ADDRESS_TEXT];
	struct address a, b;

	if (address_parse(&a, text) < 0)
		return;
	fuzz_outcomes[ADDRESS].n++;
	fuzz_check(a.size == (a.any.sa_family == AF_INET ? sizeof(a.v4) : sizeof(a.v6)));
	fuzz_check(address_port(&a) == (unsigned)atoi(strrchr(text, ':') + 1));
	fuzz_check(address_parse(&b, address_format(&a, one)) == 0);
	fuzz_check(address_equal(&a, &b));
	fuzz_check(strcmp(one, address_format(&b, two)) == 0);
}

/* The same text for every option. */
static void check_option(const char *text)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct conf_option *o = &option_table[i];
		char allowed[80], written[QUANTITY_TEXT];
		int64_t value, again;

		if (o->kind == OPTION_ADDRESSES)
			continue;
		option_allowed(o, allowed, sizeof(allowed));
		fuzz_check(strlen(allowed) < sizeof(allowed) - 1);
		if (option_parse(o, text, &value) < 0)
			continue;
		fuzz_outcomes[OPTION].n++;
		if (o->max > o->min)
			fuzz_check(value >= (o->kind == OPTION_SHARE ? -100 : o->min) &&
				   value <= o->max);
		fuzz_check(option_parse(o, option_format(o, value, written), &again) == 0);
		fuzz_check(again == value);
	}
}

static void check_target(const char *text)
{
	struct target first, second;
	const char *reason = "";

	if (target_resolve(&first, text, AF_UNSPEC, &reason) < 0) {
		fuzz_check(*reason);
		return;
	}
	fuzz_outcomes[TARGET].n++;
	fuzz_check(first.n >= 1 && first.n <= TARGET_ADDRESSES);
	fuzz_check(target_resolve(&second, first.name, AF_UNSPEC, &reason) == 0);
	fuzz_check(strcmp(first.name, second.name) == 0 && first.n == second.n);
	for (size_t i = 0; i < first.n; i++) {
		char address[ADDRESS_TEXT];

		fuzz_check(address_equal(&first.addresses[i], &second.addresses[i]));
		check_address(address_format(&first.addresses[i], address));
	}
}

static int parse_echod(void *result, int argc, char **argv)
{
	return cmdline_parse(result, argc, argv);
}

/* Writes a command line of echod. */
static void write_echod(struct words *w, const struct cmdline *c)
{
	const struct conf_source *source = &c->options.source;

	begin(w, "echod");
	if (c->action != CMDLINE_SERVE)
		add(w, c->action == CMDLINE_TEST ? "-t" : "--print-config");
	if (!source->may_be_missing)
		add(w, "--config=%s", source->path);
	for (size_t i = 0; i < source->n_overrides; i++)
		add(w, "-o%s", source->overrides[i]);
	if (c->options.only_passed)
		add(w, "--activated");
	if (c->options.trace)
		add(w, "--trace");
}

/* What was read again is written as it was. */
static void check_same(const struct words *a, const struct words *b)
{
	fuzz_check(a->used == b->used && memcmp(a->text, b->text, a->used) == 0);
}

static void check_echod(char *text)
{
	static struct words given, written, again;
	struct cmdline first, second;
	int status;

	split(&given, "echod", text);
	status = quietly(parse_echod, &first, &given);
	if (status >= 0) {
		fuzz_check((status == EX_OK || status == EX_USAGE) &&
			   !first.options.source.overrides);
		return;
	}
	fuzz_outcomes[OF_ECHOD].n++;
	write_echod(&written, &first);
	fuzz_check(quietly(parse_echod, &second, &written) == -1);
	write_echod(&again, &second);
	check_same(&written, &again);
	cmdline_deinit(&first);
	cmdline_deinit(&second);
}

static int parse_echoc(void *result, int argc, char **argv)
{
	return options_parse(result, argc, argv);
}

/* The options of echoc, and how options.c reads them. */
static const struct row {
	const char *name;
	unsigned commands;
	const char *kind;
	size_t member;
	uint64_t least, most;
} rows[] = {
#define TALK (1 << COMMAND_TALK)
#define PING (1 << COMMAND_PING)
#define LOAD (1 << COMMAND_LOAD)
#define COMPARE (1 << COMMAND_COMPARE)
#define PLOT (1 << COMMAND_PLOT)
#define COMMAND(...)
#define OPTION(letter, name, commands, kind, member, least, most, ...) \
	{ name, commands, #kind, offsetof(struct options, member), least, most },
#include "echoc/options.def"
};

static bool is(const struct row *row, const char *kind)
{
	return strcmp(row->kind, kind) == 0;
}

/* It is the same when it is read, multiplied and rounded again. */
static double seconds(int64_t ns)
{
	fuzz_check(ns >= 0 && ns <= INT64_C(1000000) * 1000000000);
	return (double)ns / 1e9;
}

static void add_number(struct words *w, const struct row *row, uint64_t value)
{
	if (value == 0 && row->least > 0) /* it is not given */
		return;
	fuzz_check(value >= row->least && value <= row->most);
	add(w, "--%s=%llu", row->name, (unsigned long long)value);
}

static void add_percentiles(struct words *w, const struct options *o)
{
	char text[512] = "";

	fuzz_check(o->n_percentiles >= 1 && o->n_percentiles <= OPTIONS_PERCENTILES);
	for (size_t i = 0; i < o->n_percentiles; i++) {
		fuzz_check(o->percentiles[i] > 0 && o->percentiles[i] < 100);
		sprintf(text + strlen(text), "%s%.17g", i ? "," : "", o->percentiles[i]);
	}
	add(w, "--percentiles=%s", text);
}

/* Addresses without brackets and port. */
static void add_sources(struct words *w, const struct options *o)
{
	fuzz_check(o->n_sources <= OPTIONS_SOURCES);
	for (size_t i = 0; i < o->n_sources && i < ARGUMENTS / 4; i++) {
		char text[ADDRESS_TEXT], *from = address_format(&o->sources[i], text);

		*strrchr(from, ':') = '\0';
		if (*from == '[')
			*strrchr(++from, ']') = '\0';
		add(w, "--source=%s", from);
	}
}

/* Writes an option as it is, unless that is as if it were not given. */
static void add_option(struct words *w, const struct row *row, const struct options *o)
{
	const void *at = (const char *)o + row->member;
	const struct objective *find = at;

	if ((is(row, "FAMILY") && *(const int *)at == (int)row->least) ||
	    (is(row, "FLAG") && *(const bool *)at))
		add(w, "--%s", row->name);
	else if (is(row, "NUMBER"))
		add_number(w, row, *(const uint64_t *)at);
	else if (is(row, "UNSIGNED"))
		add_number(w, row, *(const unsigned *)at);
	else if (is(row, "OBJECTIVE") && find->time > 0)
		add(w, "--%s=p%.17g=%.17g", row->name, find->percent, seconds(find->time));
	else if (is(row, "PERCENTILES"))
		add_percentiles(w, o);
	else if (is(row, "RATE"))
		add(w, "--%s=%.17g", row->name, *(const double *)at);
	else if (is(row, "SIZES"))
		add(w, "--%s=%zu-%zu", row->name, o->min_size, o->max_size);
	else if (is(row, "SOURCES"))
		add_sources(w, o);
	else if (is(row, "TEXT") && *(const char *const *)at)
		add(w, "--%s=%s", row->name, *(const char *const *)at);
	else if (is(row, "TIME") && *(const int64_t *)at > 0)
		add(w, "--%s=%.17g", row->name, seconds(*(const int64_t *)at));
}

/* Writes a command line of echoc. */
static void write_echoc(struct words *w, const struct options *o)
{
	static const char *const commands[] = { "talk", "ping", "load", "compare", "plot" };

	begin(w, "echoc");
	add(w, "%s", commands[o->command]);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].commands & 1 << o->command)
			add_option(w, &rows[i], o);
	add(w, "--");
	for (size_t i = 0; i < o->n_files && i < ARGUMENTS / 4; i++)
		add(w, "%s", o->files[i]);
}

static void check_ranges(const struct options *o)
{
	fuzz_check(o->min_size >= 1 && o->min_size <= o->max_size && o->max_size <= 1 << 30);
	fuzz_check(o->threads <= o->connections && o->rate >= 0 && o->rate <= 1e9);
	fuzz_check(o->connect_timeout >= 1000000 && o->timeout >= 1000000);
	fuzz_check(o->interval >= 100000);
	fuzz_check(o->n_files >= 1 && o->target == o->files[0]);
	fuzz_check(o->command != COMMAND_LOAD || o->duration > 0 || o->messages > 0);
}

static void check_echoc(char *text)
{
	static struct words given, written, again;
	static struct options first, second;
	int status;

	split(&given, "echoc", text);
	status = quietly(parse_echoc, &first, &given);
	if (status >= 0) {
		fuzz_check(status == EXIT_ALL_BACK || status == EXIT_OTHER);
		return;
	}
	fuzz_outcomes[OF_ECHOC].n++;
	check_ranges(&first);
	write_echoc(&written, &first);
	fuzz_check(quietly(parse_echoc, &second, &written) == -1);
	write_echoc(&again, &second);
	check_same(&written, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size == 0 || size > 8192)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	if (!text)
		abort();
	switch (data[0] % 8) {
	case 'o' % 8:
		check_option(text);
		break;
	case 't' % 8:
		check_target(text);
		break;
	case 'e' % 8:
		check_echod(text);
		break;
	case 'c' % 8:
		check_echoc(text);
		break;
	default: /* 'a' */
		check_address(text);
	}
	free(text);
	return 0;
}
