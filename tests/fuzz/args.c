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
#include <math.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdbool.h>
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

static void check_same_echod(const struct cmdline *a, const struct cmdline *b)
{
	const struct conf_source *x = &a->options.source, *y = &b->options.source;

	fuzz_check(a->action == b->action && a->options.only_passed == b->options.only_passed);
	fuzz_check(a->options.trace == b->options.trace && strcmp(x->path, y->path) == 0);
	fuzz_check(x->may_be_missing == y->may_be_missing && x->n_overrides == y->n_overrides);
	for (size_t i = 0; i < x->n_overrides; i++) {
		fuzz_check(strchr(x->overrides[i], '=') > x->overrides[i]);
		fuzz_check(strcmp(x->overrides[i], y->overrides[i]) == 0);
	}
}

static void check_echod(char *text)
{
	static struct words given, written;
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
	check_same_echod(&first, &second);
	cmdline_deinit(&first);
	cmdline_deinit(&second);
}

static int parse_echoc(void *result, int argc, char **argv)
{
	return options_parse(result, argc, argv);
}

static void add_time(struct words *w, const char *name, int64_t ns)
{
	if (ns > 0)
		add(w, "--%s=%.17g", name, (double)ns / 1e9);
}

static void add_number(struct words *w, const char *name, uint64_t value)
{
	if (value > 0)
		add(w, "--%s=%llu", name, (unsigned long long)value);
}

static void add_flag(struct words *w, const char *name, bool on)
{
	if (on)
		add(w, "%s", name);
}

/* Without brackets and port. */
static void add_source(struct words *w, const struct address *source)
{
	char text[ADDRESS_TEXT], *from = address_format(source, text);

	*strrchr(from, ':') = '\0';
	if (*from == '[')
		*strrchr(++from, ']') = '\0';
	add(w, "--source=%s", from);
}

/* A list of percentiles, as it is compared and written. */
static const char *percentiles(const struct options *o, char text[static 512])
{
	size_t n = 0;

	fuzz_check(o->n_percentiles >= 1 && o->n_percentiles <= OPTIONS_PERCENTILES);
	for (size_t i = 0; i < o->n_percentiles; i++) {
		fuzz_check(o->percentiles[i] > 0 && o->percentiles[i] < 100);
		n += (size_t)snprintf(text + n, 512 - n, "%s%.17g", i ? "," : "",
				      o->percentiles[i]);
	}
	return text;
}

static void write_load(struct words *w, const struct options *o)
{
	if (o->find.time > 0)
		add(w, "--find-rate=p%.17g=%.17g", o->find.percent, (double)o->find.time / 1e9);
	if (o->report_interval > 0)
		add(w, "--interval=%.17g", (double)o->report_interval / 1e9);
	if (o->hlog)
		add(w, "--hlog=%s", o->hlog);
	add_number(w, "connections", o->connections);
	add_number(w, "threads", o->threads);
	add_number(w, "pipeline", o->pipeline);
	add_number(w, "messages", o->messages);
	add_time(w, "duration", o->duration);
	add_time(w, "ramp", o->ramp);
	add(w, "--rate=%.17g", o->rate);
	add_flag(w, "--churn", o->churn);
	if (o->histogram)
		add(w, "--histogram=%s", o->histogram);
}

/* Writes a command line of echoc. */
static void write_echoc(struct words *w, const struct options *o)
{
	static const char *const commands[] = { "talk", "ping", "load", "compare", "plot" };
	char text[512];

	begin(w, "echoc");
	add(w, "%s", commands[o->command]);
	if (o->output)
		add(w, "--output=%s", o->output);
	add_flag(w, "--verify", o->verify);
	if (o->command <= COMMAND_LOAD) {
		add_flag(w, "-4", o->family == AF_INET);
		add_flag(w, "-6", o->family == AF_INET6);
		add_time(w, "connect-timeout", o->connect_timeout);
		add_time(w, "timeout", o->timeout);
	}
	if (o->command == COMMAND_PING || o->command == COMMAND_LOAD) {
		add(w, "-s%zu-%zu", o->min_size, o->max_size);
		add(w, "--seed=%llu", (unsigned long long)o->seed);
		add_flag(w, "-q", o->quiet);
		add_flag(w, "--json", o->json);
		add_flag(w, "--json-stream", o->json_stream);
		add_flag(w, "--reconnect", o->reconnect);
		add_time(w, "max-outage", o->max_outage);
		add_time(w, "warmup", o->warmup);
		add(w, "--percentiles=%s", percentiles(o, text));
		for (size_t i = 0; i < o->n_sources && i < ARGUMENTS / 4; i++)
			add_source(w, &o->sources[i]);
	}
	if (o->command == COMMAND_PING) {
		add_number(w, "count", o->count);
		add_time(w, "interval", o->interval);
		add_time(w, "deadline", o->deadline);
		add_flag(w, "-D", o->time_stamps);
		add_flag(w, "-O", o->outstanding);
	}
	if (o->command == COMMAND_LOAD)
		write_load(w, o);
	add(w, "--");
	for (size_t i = 0; i < o->n_files && i < ARGUMENTS / 4; i++)
		add(w, "%s", o->files[i]);
}

static bool is_same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* A time is cut to ns after it was multiplied, so it may be one off. */
static bool is_same_time(int64_t a, int64_t b)
{
	return a - b <= 1 && b - a <= 1;
}

static void check_same_reports(const struct options *a, const struct options *b)
{
	char one[512], two[512];

	fuzz_check(a->json_stream == b->json_stream && a->reconnect == b->reconnect);
	fuzz_check(is_same_time(a->max_outage, b->max_outage));
	fuzz_check(is_same_time(a->warmup, b->warmup));
	fuzz_check(is_same_time(a->report_interval, b->report_interval));
	fuzz_check(is_same_time(a->find.time, b->find.time));
	fuzz_check(a->find.percent == b->find.percent || a->find.time == 0);
	fuzz_check(strcmp(percentiles(a, one), percentiles(b, two)) == 0);
	fuzz_check(is_same_text(a->histogram, b->histogram) && is_same_text(a->hlog, b->hlog));
	fuzz_check(is_same_text(a->output, b->output));
	fuzz_check(a->time_stamps == b->time_stamps && a->outstanding == b->outstanding);
}

static void check_same_echoc(const struct options *a, const struct options *b)
{
	check_same_reports(a, b);
	fuzz_check(a->command == b->command && a->family == b->family);
	fuzz_check(strcmp(a->target, b->target) == 0);
	fuzz_check(a->verify == b->verify && a->quiet == b->quiet && a->json == b->json);
	fuzz_check(a->min_size == b->min_size && a->max_size == b->max_size);
	fuzz_check(a->seed == b->seed && a->count == b->count && a->messages == b->messages);
	fuzz_check(a->connections == b->connections && a->threads == b->threads);
	fuzz_check(a->pipeline == b->pipeline && a->churn == b->churn && a->rate == b->rate);
	fuzz_check(is_same_time(a->connect_timeout, b->connect_timeout));
	fuzz_check(is_same_time(a->interval, b->interval) &&
		   is_same_time(a->deadline, b->deadline));
	fuzz_check(is_same_time(a->timeout, b->timeout) && is_same_time(a->ramp, b->ramp));
	fuzz_check(is_same_time(a->duration, b->duration));
	for (size_t i = 0; i < b->n_sources; i++)
		fuzz_check(address_equal(&a->sources[i], &b->sources[i]));
}

static bool is_time(int64_t ns)
{
	return ns >= 0 && ns <= INT64_C(1000000) * 1000000000;
}

static void check_ranges(const struct options *o)
{
	fuzz_check(o->min_size >= 1 && o->min_size <= o->max_size && o->max_size <= 1 << 30);
	fuzz_check(o->connections >= 1 && o->connections <= 1000000);
	fuzz_check(o->threads >= 1 && o->threads <= 256 && o->threads <= o->connections);
	fuzz_check(o->pipeline >= 1 && o->pipeline <= 65536);
	fuzz_check(o->rate >= 0 && o->rate <= 1e9 && o->n_sources <= OPTIONS_SOURCES);
	fuzz_check(o->connect_timeout >= 1000000 && is_time(o->connect_timeout));
	fuzz_check(o->timeout >= 1000000 && is_time(o->timeout));
	fuzz_check(o->interval >= 100000 && is_time(o->interval) && is_time(o->deadline));
	fuzz_check(is_time(o->duration) && is_time(o->ramp) && is_time(o->warmup));
	fuzz_check(is_time(o->max_outage) && is_time(o->report_interval) && is_time(o->find.time));
	fuzz_check(o->n_files >= 1 && o->target == o->files[0]);
	fuzz_check(o->command != COMMAND_LOAD || o->duration > 0 || o->messages > 0);
}

static void check_echoc(char *text)
{
	static struct words given, written;
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
	check_same_echoc(&first, &second);
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
