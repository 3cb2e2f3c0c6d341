/* SPDX-License-Identifier: MIT */
#include "supervisor/cmdline.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static const char usage[] =
	"Usage: echod [-t | -p] [-c FILE] [-o NAME=VALUE]... [--activated] [--trace]\n";

static const char help[] =
	"Echoes what its TCP clients send (RFC 862).\n"
	"\n"
	"  -c, --config FILE        read FILE instead of " SYSCONFDIR "/echod.conf\n"
	"  -o, --option NAME=VALUE  override one option of the file; repeatable\n"
	"  -t, --test-config        check the configuration and exit: 0 or 78\n"
	"  -p, --print-config       print every option with its value and exit\n"
	"      --activated          serve only sockets that the service manager passes\n"
	"      --trace              print each batch of events as it is handled\n"
	"  -V, --version            print the version and exit\n"
	"  -h, --help               print this and exit\n"
	"\n"
	"See echod(8) and echod.conf(5).\n";

enum { OPTION_ACTIVATED = 256, OPTION_TRACE };

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "option", required_argument, NULL, 'o' },
	{ "test-config", no_argument, NULL, 't' },
	{ "print-config", no_argument, NULL, 'p' },
	{ "activated", no_argument, NULL, OPTION_ACTIVATED },
	{ "trace", no_argument, NULL, OPTION_TRACE },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static int complain(const char *what, const char *argument)
{
	fprintf(stderr, "echod: %s%s\n%sTry 'echod --help'.\n", what, argument, usage);
	return EX_USAGE;
}

static int set_action(struct cmdline *cmdline, enum cmdline_action action)
{
	if (cmdline->action != CMDLINE_SERVE && cmdline->action != action)
		return complain("-t and -p exclude each other", "");
	cmdline->action = action;
	return -1;
}

static int set_path(struct conf_source *source, const char *path)
{
	if (!*path)
		return complain("-c needs the path of a file", "");
	source->path = path;
	source->may_be_missing = false;
	return -1;
}

static int add_override(struct conf_source *source, const char *text)
{
	if (text[0] == '=' || !strchr(text, '='))
		return complain("-o needs NAME=VALUE, not ", *text ? text : "an empty text");
	source->overrides[source->n_overrides++] = text;
	return -1;
}

int cmdline_end_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EX_OK;
	fprintf(stderr, "echod: cannot write to standard output: %s\n", strerror(errno));
	return EX_IOERR;
}

/* One option.  -1: go on. */
static int take(struct cmdline *cmdline, int option, const char *argument)
{
	switch (option) {
	case 'c':
		return set_path(&cmdline->options.source, argument);
	case 'o':
		return add_override(&cmdline->options.source, argument);
	case 't':
		return set_action(cmdline, CMDLINE_TEST);
	case 'p':
		return set_action(cmdline, CMDLINE_PRINT);
	case OPTION_ACTIVATED:
		cmdline->options.only_passed = true;
		return -1;
	case OPTION_TRACE:
		cmdline->options.trace = true;
		return -1;
	case 'V':
		puts(PACKAGE_STRING);
		return cmdline_end_output();
	case 'h':
		printf("%s%s", usage, help);
		return cmdline_end_output();
	default: /* getopt_long(3) has said what is wrong */
		fprintf(stderr, "%sTry 'echod --help'.\n", usage);
		return EX_USAGE;
	}
}

int cmdline_parse(struct cmdline *cmdline, int argc, char *argv[])
{
	int option, status = -1;

	memset(cmdline, 0, sizeof(*cmdline));
	cmdline->options.source.path = SYSCONFDIR "/echod.conf";
	cmdline->options.source.may_be_missing = true;
	cmdline->options.source.overrides = calloc((size_t)argc + 1, sizeof(char *));
	if (!cmdline->options.source.overrides) {
		fputs("echod: no memory\n", stderr);
		return EX_OSERR;
	}
	while (status < 0 &&
	       (option = getopt_long(argc, argv, "c:o:tpVh", long_options, NULL)) != -1)
		status = take(cmdline, option, optarg);
	if (status < 0 && optind < argc)
		status = complain("unexpected argument: ", argv[optind]);
	if (status >= 0)
		cmdline_deinit(cmdline);
	return status;
}

void cmdline_deinit(struct cmdline *cmdline)
{
	free(cmdline->options.source.overrides);
	cmdline->options.source.overrides = NULL;
}
