/* SPDX-License-Identifier: MIT */
#include "echoc/options.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NUMERIC "numeric addresses without a port, such as 127.0.0.2 or ::1,fe80::1%%eth0"

/* What getopt_long(3) returns for a row that was given by its name: this, and its place. */
#define FIRST_NAME 256

struct command_row {
	const char *name, *operands, *text, *more;
};

/* clang-format off */
enum kind {
	SHOW_HELP, SHOW_VERSION, FAMILY, FLAG, NUMBER, OBJECTIVE, PERCENTILES, RATE, SIZES,
	SOURCES, TEXT, TIME, UNSIGNED
};

enum {
	TALK = 1 << COMMAND_TALK, PING = 1 << COMMAND_PING, LOAD = 1 << COMMAND_LOAD,
	COMPARE = 1 << COMMAND_COMPARE, PLOT = 1 << COMMAND_PLOT
};
/* clang-format on */

struct row {
	char letter;
	const char *name;
	unsigned commands;
	enum kind kind;
	size_t member;
	uint64_t least, most;
	const char *preset, *argument, *text;
};

#define OPTION(...)
#define COMMAND(id, ...) [COMMAND_##id] = { __VA_ARGS__ },
static const struct command_row commands[] = {
#include "echoc/options.def"
};
#undef COMMAND
#undef OPTION

#define COMMAND(...)
#define OPTION(letter, name, commands, kind, member, ...) \
	{ letter, name, commands, kind, offsetof(struct options, member), __VA_ARGS__ },
static const struct row rows[] = {
#include "echoc/options.def"
};
#undef COMMAND
#undef OPTION

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

__attribute__((format(printf, 2, 3))) static int complain(enum command command, const char *fmt,
							  ...)
{
	const char *name = command == COMMAND_TALK ? "" : commands[command].name;
	va_list ap;

	fputs("echoc: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nUsage: echoc %s [OPTION]... %s  (echoc %s%s--help tells more)\n",
		*name ? name : "[COMMAND]", commands[command].operands, name, *name ? " " : "");
	return EXIT_OTHER;
}

/* Addresses with commas between them. */
static int add_sources(struct options *o, const struct argument *a)
{
	const char *text = a->text;
	size_t n;

	for (;; text += n + 1) {
		char one[ADDRESS_TEXT], with_port[ADDRESS_TEXT + 4];
		struct argument part = { a->option, one };
		struct address address;

		n = strcspn(text, ",");
		snprintf(one, sizeof(one), "%.*s", (int)n, text);
		snprintf(with_port, sizeof(with_port), strchr(one, ':') ? "[%s]:0" : "%s:0", one);
		if (o->n_sources == OPTIONS_SOURCES)
			return argument_refuse(&part, "%d addresses", OPTIONS_SOURCES);
		if (address_parse(&address, with_port) < 0)
			return argument_refuse(&part, NUMERIC);
		if (address_resolve(&address, &o->sources[o->n_sources]) < 0)
			return argument_refuse(&part, "an address of an interface that is there");
		o->n_sources++;
		if (!text[n])
			return 0;
	}
}

static int set_text(const char **value, const struct argument *a)
{
	*value = a->text;
	return *a->text ? 0 : argument_refuse(a, "the name of a file");
}

/* 0, or -EINVAL after a complaint. */
static int take(struct options *o, const struct row *row, const struct argument *a)
{
	void *member = (char *)o + row->member;

	switch (row->kind) {
	case FAMILY:
		o->family = (int)row->least;
		return 0;
	case NUMBER:
		return argument_number(member, a, row->least, row->most);
	case UNSIGNED:
		return argument_unsigned(member, a, (unsigned)row->most);
	case TIME:
		return argument_time(member, a, row->least);
	case RATE:
		return argument_rate(member, a);
	case SIZES:
		return argument_sizes(&o->min_size, &o->max_size, a);
	case PERCENTILES:
		return argument_percentiles(member, &o->n_percentiles, OPTIONS_PERCENTILES, a);
	case OBJECTIVE:
		return argument_objective(member, a);
	case SOURCES:
		return add_sources(o, a);
	case TEXT:
		return set_text(member, a);
	default:
		*(bool *)member = true;
		return 0;
	}
}

static void set_presets(struct options *o)
{
	*o = (struct options){ .family = AF_UNSPEC };
	for (const struct row *row = rows; row < rows + N_ROWS; row++)
		if (*row->preset)
			(void)take(o, row, &(struct argument){ row->name, row->preset });
}

static bool belongs(const struct row *row, enum command command)
{
	return row->commands >> command & 1;
}

/* What getopt_long(3) needs to know of the options of a command. */
static void list(enum command command, char *letters, struct option *names)
{
	*letters++ = ':'; /* it leaves the complaints to us */
	for (size_t i = 0; i < N_ROWS; i++) {
		int has_argument = *rows[i].argument ? required_argument : no_argument;

		if (!belongs(&rows[i], command))
			continue;
		*names++ = (struct option){ rows[i].name, has_argument, NULL, FIRST_NAME + (int)i };
		if (rows[i].letter)
			*letters++ = rows[i].letter;
		if (rows[i].letter && has_argument)
			*letters++ = ':';
	}
	*letters = '\0';
	*names = (struct option){ 0 };
}

/* The row of what getopt_long(3) has returned, and how it was written. */
static const struct row *find(enum command command, int option, char name[static 40])
{
	const struct row *row = rows;

	if (option >= FIRST_NAME) {
		row = &rows[option - FIRST_NAME];
		snprintf(name, 40, "--%s", row->name);
		return row;
	}
	snprintf(name, 40, "-%c", option);
	while (row < rows + N_ROWS && (row->letter != option || !belongs(row, command)))
		row++;
	return row;
}

/* Adds how an option is written; a name alone begins where others have theirs. */
static void add_forms(char forms[static 80], const struct row *row)
{
	size_t n = strlen(forms);
	const char *before = n ? ", " : row->letter || !*row->text ? "  " : "      ";
	char letter[] = { '-', row->letter, ',', ' ', '\0' };

	snprintf(forms + n, 80 - n, "%s%s--%s%s%s", before, row->letter ? letter : "", row->name,
		 *row->argument ? " " : "", row->argument);
}

static void print_options(enum command command, bool general)
{
	char forms[80] = "";

	for (const struct row *row = rows; row < rows + N_ROWS; row++) {
		if (!belongs(row, command) || (!general && row->kind <= SHOW_VERSION))
			continue;
		add_forms(forms, row);
		if (!*row->text)
			continue;
		printf("%-32s %s%s%s%s\n", forms, row->text, *row->preset ? " (" : "", row->preset,
		       *row->preset ? ")" : "");
		forms[0] = '\0';
	}
}

static void print_all(void)
{
	puts("Usage: echoc [COMMAND] [OPTION]... HOST[:PORT]\n"
	     "Talks to an echo service (RFC 862) and proves every byte.  HOST is a name, an\n"
	     "IPv4 address or [IPv6]; PORT is 7 if it is not given.\n\n"
	     "Commands; echoc COMMAND --help prints the options of one:");
	for (const struct command_row *c = commands; c < commands + N_COMMANDS; c++)
		printf("  %-30s %s\n", c->name, c->text);
	puts("\nOptions of talk:");
	print_options(COMMAND_TALK, true);
	puts("\nExit status: 0 all came back, 1 not all or wrong, 2 other errors.\n"
	     "See echoc(1).");
}

/* Of a command, or of all of them. */
static int print_help(enum command command, bool all)
{
	const struct command_row *c = &commands[command];

	if (all) {
		print_all();
		return EXIT_ALL_BACK;
	}
	printf("Usage: echoc %s [OPTION]... %s%s\n%s", c->name, c->operands,
	       *c->more ? "" : "  (T: 10s, 500ms; N, R: 500, 10K, 1M)", c->more);
	print_options(command, false);
	return EXIT_ALL_BACK;
}

static bool find_command(enum command *command, const char *word)
{
	for (size_t i = 0; word && i < N_COMMANDS; i++)
		if (strcmp(word, commands[i].name) == 0) {
			*command = (enum command)i;
			return true;
		}
	return false;
}

/* What is wrong with the operands, which one of them follows; or NULL. */
static const char *judge(const struct options *o, bool named, int n, char *argv[])
{
	bool reads = o->command == COMMAND_COMPARE || o->command == COMMAND_PLOT;
	enum command late;

	if (n > 1 && !named)
		return find_command(&late, argv[0]) ? "a command comes before all options: " :
						      "unknown command: ";
	if (n < 1 + (o->command == COMMAND_COMPARE))
		return reads ? "missing file" : "missing target";
	return n > 1 && !reads ? "unexpected argument: " : NULL;
}

static int finish(struct options *o, bool named, int n, char *argv[])
{
	const char *wrong = judge(o, named, n, argv);

	if (wrong)
		return complain(o->command, "%s%s", wrong, n > 1 ? argv[named] : "");
	o->target = argv[0];
	o->files = argv;
	o->n_files = (size_t)n;
	if (o->command == COMMAND_LOAD && o->duration == 0 && o->messages == 0)
		o->duration = o->find.time ? INT64_C(2000000000) : INT64_C(10000000000);
	o->reconnect |= o->max_outage > 0;
	if (o->churn)
		o->pipeline = 1;
	if (o->threads > o->connections)
		o->threads = o->connections;
	return -1;
}

/* What getopt_long(3) does not take: ':' is an option without its argument. */
static int refuse(struct options *o, int why, const char *word)
{
	char name[40] = "";
	const struct row *row = optopt ? find(o->command, optopt, name) : NULL;

	if (why == ':')
		(void)take(o, row, &(struct argument){ name, "" });
	else if (optopt >= FIRST_NAME)
		return complain(o->command, "%s takes no argument: %s", name, word);
	else
		return complain(o->command, "not an option of %s: %s", commands[o->command].name,
				optopt ? name : word);
	return EXIT_OTHER;
}

int options_parse(struct options *o, int argc, char *argv[])
{
	struct option names[N_ROWS + 1];
	char letters[2 * N_ROWS + 2], name[40];
	int option;
	bool named;

	set_presets(o);
	named = find_command(&o->command, argc > 1 ? argv[1] : NULL);
	argc -= named;
	argv += named;
	list(o->command, letters, names);
	while ((option = getopt_long(argc, argv, letters, names, NULL)) != -1) {
		const struct row *row;

		if (option == '?' || option == ':')
			return refuse(o, option, argv[optind - 1]);
		row = find(o->command, option, name);
		if (row->kind == SHOW_HELP)
			return print_help(o->command, !named);
		if (row->kind == SHOW_VERSION) {
			puts("echoc (" PACKAGE_STRING ")");
			return EXIT_ALL_BACK;
		}
		if (take(o, row, &(struct argument){ name, optarg }) < 0)
			return EXIT_OTHER;
	}
	return finish(o, named, argc - optind, argv + optind);
}
