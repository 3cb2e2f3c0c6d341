/* SPDX-License-Identifier: MIT */
#include "echoc/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "echoc/argument.h"

#define SECOND 1e9
#define NUMERIC "numeric addresses without a port, such as 127.0.0.2 or ::1,fe80::1%%eth0"

static const char usage[] =
	"Usage: echoc [talk] [--verify] HOST[:PORT]\n"
	"       echoc ping [-q] [-c COUNT] [-i SECONDS] [-s BYTES] [-w SECONDS] HOST[:PORT]\n"
	"       echoc load [--connections N] [--duration SECONDS | --messages N]\n"
	"                  [--rate PER_SECOND] [--size BYTES] [--json] [OPTION]... HOST[:PORT]\n";

static const char help[] =
	"Talks to an echo service (RFC 862) and proves every byte.  HOST is a name, an\n"
	"IPv4 address or [IPv6]; PORT is 7 if it is not given.\n"
	"\n"
	"  -4, -6                     use IPv4 or IPv6 only\n"
	"      --connect-timeout SEC  give up connecting to an address after that (5)\n"
	"  -V, --version              print the version and exit\n"
	"  -h, --help                 print this and exit\n"
	"\n"
	"talk: lines at a terminal; in a pipe, standard input to standard output\n"
	"      --verify               compare the content too, not only the length\n"
	"\n"
	"ping: one message after the other, with its round-trip time\n"
	"  -c, --count COUNT          stop after that many\n"
	"  -i, --interval SECONDS     between two messages (1)\n"
	"  -w, --deadline SECONDS     stop after that time\n"
	"\n"
	"load: many connections\n"
	"      --connections N        at once (1)\n"
	"      --duration SECONDS     of the load (10, unless --messages is given)\n"
	"      --messages N           in all, then stop\n"
	"      --rate PER_SECOND      in all, planned beforehand; 0: as answers come (0)\n"
	"      --pipeline K           messages in flight on each connection (1)\n"
	"      --threads N            (1)\n"
	"      --churn                a new connection for every message\n"
	"      --ramp SECONDS         spread the connecting over that time (0)\n"
	"      --source ADDR[,ADDR]   connect from these addresses in turn\n"
	"      --histogram FILE       write latencies as HdrHistogram percentile text\n"
	"\n"
	"ping and load:\n"
	"  -s, --size BYTES[-BYTES]   of a message (64), or random in between\n"
	"      --timeout SECONDS      a message not back by then is lost (5)\n"
	"      --seed N               of the payload (1)\n"
	"      --json                 print one JSON object on standard output\n"
	"  -q, --quiet                print only the result\n"
	"\n"
	"Exit status: 0 all came back, 1 something did not or was wrong, 2 other errors.\n"
	"See echoc(1).\n";

enum {
	LONG_CONNECT_TIMEOUT = 256,
	LONG_VERIFY,
	LONG_CONNECTIONS,
	LONG_DURATION,
	LONG_MESSAGES,
	LONG_RATE,
	LONG_PIPELINE,
	LONG_THREADS,
	LONG_CHURN,
	LONG_RAMP,
	LONG_SOURCE,
	LONG_HISTOGRAM,
	LONG_TIMEOUT,
	LONG_SEED,
	LONG_JSON,
};

/* clang-format off */
static const struct option long_options[] = {
	{ "connect-timeout", required_argument, NULL, LONG_CONNECT_TIMEOUT },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ "verify", no_argument, NULL, LONG_VERIFY },
	{ "count", required_argument, NULL, 'c' },
	{ "interval", required_argument, NULL, 'i' },
	{ "deadline", required_argument, NULL, 'w' },
	{ "size", required_argument, NULL, 's' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "connections", required_argument, NULL, LONG_CONNECTIONS },
	{ "duration", required_argument, NULL, LONG_DURATION },
	{ "messages", required_argument, NULL, LONG_MESSAGES },
	{ "rate", required_argument, NULL, LONG_RATE },
	{ "pipeline", required_argument, NULL, LONG_PIPELINE },
	{ "threads", required_argument, NULL, LONG_THREADS },
	{ "churn", no_argument, NULL, LONG_CHURN },
	{ "ramp", required_argument, NULL, LONG_RAMP },
	{ "source", required_argument, NULL, LONG_SOURCE },
	{ "histogram", required_argument, NULL, LONG_HISTOGRAM },
	{ "timeout", required_argument, NULL, LONG_TIMEOUT },
	{ "seed", required_argument, NULL, LONG_SEED },
	{ "json", no_argument, NULL, LONG_JSON },
	{ 0 },
};
/* clang-format on */

/* Which commands an option belongs to, as bits; those not named belong to all. */
static unsigned commands_of(int option)
{
	switch (option) {
	case LONG_VERIFY:
		return 1 << COMMAND_TALK;
	case 'c':
	case 'i':
	case 'w':
		return 1 << COMMAND_PING;
	case 's':
	case 'q':
	case LONG_TIMEOUT:
	case LONG_SEED:
	case LONG_JSON:
		return 1 << COMMAND_PING | 1 << COMMAND_LOAD;
	case '4':
	case '6':
	case LONG_CONNECT_TIMEOUT:
		return ~0u;
	default:
		return 1 << COMMAND_LOAD;
	}
}

static int complain(const char *what, const char *argument)
{
	fprintf(stderr, "echoc: %s%s\n%sTry 'echoc --help'.\n", what, argument, usage);
	return EXIT_OTHER;
}

/* An option as one writes it. */
static const char *name_of(int option)
{
	static char name[40];
	const struct option *o = long_options;

	while (o->name && o->val != option)
		o++;
	if (option < LONG_CONNECT_TIMEOUT)
		snprintf(name, sizeof(name), "-%c", option);
	else
		snprintf(name, sizeof(name), "--%s", o->name);
	return name;
}

static int add_source(struct options *o, const struct argument *a)
{
	struct address address;
	char with_port[ADDRESS_TEXT];

	if (o->n_sources == OPTIONS_SOURCES)
		return argument_refuse(a, "%d addresses", OPTIONS_SOURCES);
	snprintf(with_port, sizeof(with_port), strchr(a->text, ':') ? "[%s]:0" : "%s:0", a->text);
	if (address_parse(&address, with_port) < 0)
		return argument_refuse(a, NUMERIC);
	if (address_resolve(&address, &o->sources[o->n_sources]) < 0)
		return argument_refuse(a, "an address of an interface that is there");
	o->n_sources++;
	return 0;
}

static int add_sources(struct options *o, const struct argument *a)
{
	char *copy, *rest;
	struct argument one = *a;
	int r = 0;

	if (!a->text)
		return argument_refuse(a, NUMERIC);
	copy = rest = strdup(a->text);
	if (!copy)
		return argument_refuse(a, "with more memory");
	while (r == 0 && (one.text = strsep(&rest, ",")))
		r = add_source(o, &one);
	free(copy);
	return r;
}

static int set_histogram(struct options *o, const struct argument *a)
{
	o->histogram = a->text;
	return a->text ? 0 : argument_refuse(a, "the name of a file");
}

static int take_load(struct options *o, int option, const struct argument *a)
{
	switch (option) {
	case LONG_CONNECTIONS:
		return argument_unsigned(&o->connections, a, 1000000);
	case LONG_DURATION:
		return argument_time(&o->duration, a, 0.001);
	case LONG_MESSAGES:
		return argument_number(&o->messages, a, 1, INT64_MAX);
	case LONG_RATE:
		return argument_rate(&o->rate, a);
	case LONG_PIPELINE:
		return argument_unsigned(&o->pipeline, a, 65536);
	case LONG_THREADS:
		return argument_unsigned(&o->threads, a, 256);
	case LONG_CHURN:
		o->churn = true;
		return 0;
	case LONG_RAMP:
		return argument_time(&o->ramp, a, 0);
	case LONG_SOURCE:
		return add_sources(o, a);
	default:
		return set_histogram(o, a);
	}
}

/* 0, or -EINVAL after a complaint. */
static int take(struct options *o, int option, const char *text)
{
	const struct argument argument = { name_of(option), text }, *a = &argument;

	switch (option) {
	case '4':
	case '6':
		o->family = option == '4' ? AF_INET : AF_INET6;
		return 0;
	case LONG_CONNECT_TIMEOUT:
		return argument_time(&o->connect_timeout, a, 0.001);
	case LONG_VERIFY:
		o->verify = true;
		return 0;
	case 'c':
		return argument_number(&o->count, a, 1, INT64_MAX);
	case 'i':
		return argument_time(&o->interval, a, 0.0001);
	case 'w':
		return argument_time(&o->deadline, a, 0.001);
	case 's':
		return argument_sizes(&o->min_size, &o->max_size, a);
	case 'q':
		o->quiet = true;
		return 0;
	case LONG_TIMEOUT:
		return argument_time(&o->timeout, a, 0.001);
	case LONG_SEED:
		return argument_number(&o->seed, a, 0, UINT64_MAX);
	case LONG_JSON:
		o->json = true;
		return 0;
	default:
		return take_load(o, option, a);
	}
}

static void set_defaults(struct options *o)
{
	*o = (struct options){
		.family = AF_UNSPEC,
		.connect_timeout = (int64_t)(5 * SECOND),
		.interval = (int64_t)SECOND,
		.min_size = 64,
		.max_size = 64,
		.timeout = (int64_t)(5 * SECOND),
		.seed = 1,
		.connections = 1,
		.threads = 1,
		.pipeline = 1,
	};
}

/* A first argument that names a command; without one it is talk. */
static int take_command(struct options *o, const char *word)
{
	static const char *const names[] = { "talk", "ping", "load" };

	for (int i = 0; word && i < 3; i++)
		if (strcmp(word, names[i]) == 0) {
			o->command = (enum command)i;
			return 1;
		}
	return 0;
}

static int finish(struct options *o, int rest, char *argv[])
{
	if (rest != 1)
		return complain(rest ? "unexpected argument: " : "missing target",
				rest ? argv[1] : "");
	o->target = argv[0];
	if (o->command == COMMAND_LOAD && o->duration == 0 && o->messages == 0)
		o->duration = (int64_t)(10 * SECOND);
	if (o->threads > o->connections)
		o->threads = o->connections;
	return -1;
}

static int print_and_exit(const char *a, const char *b)
{
	if (printf("%s%s", a, b) >= 0 && fflush(stdout) == 0)
		return EXIT_ALL_BACK;
	fprintf(stderr, "echoc: cannot write to standard output: %s\n", strerror(errno));
	return EXIT_OTHER;
}

/* getopt_long(3) has said what is wrong; but not what an option takes that is given without. */
static int refuse_misused(struct options *o)
{
	for (const struct option *known = long_options; known->name; known++)
		if (known->val == optopt && known->has_arg == required_argument)
			(void)take(o, optopt, NULL);
	fprintf(stderr, "%sTry 'echoc --help'.\n", usage);
	return EXIT_OTHER;
}

int options_parse(struct options *o, int argc, char *argv[])
{
	int option, word;

	set_defaults(o);
	word = take_command(o, argc > 1 ? argv[1] : NULL);
	argv[word] = argv[0]; /* for getopt_long(3), which names it in its messages */
	argc -= word;
	argv += word;
	while ((option = getopt_long(argc, argv, "46Vhc:i:w:s:q", long_options, NULL)) != -1) {
		if (option == 'V')
			return print_and_exit("echoc (" PACKAGE_STRING ")\n", "");
		if (option == 'h')
			return print_and_exit(usage, help);
		if (option == '?')
			return refuse_misused(o);
		if (!(commands_of(option) & 1u << o->command))
			return complain("not an option of this command: ", name_of(option));
		if (take(o, option, optarg) < 0)
			return EXIT_OTHER;
	}
	return finish(o, argc - optind, argv + optind);
}
