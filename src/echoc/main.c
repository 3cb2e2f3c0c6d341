/* SPDX-License-Identifier: MIT */
/*
 * echoc: parse, resolve, run.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/process.h"
#include "echoc/compare.h"
#include "echoc/find.h"
#include "echoc/load.h"
#include "echoc/options.h"
#include "echoc/ping.h"
#include "echoc/plot.h"
#include "echoc/talk.h"
#include "echoc/target.h"

/* From where the connections can come.  False after a complaint. */
static bool check_sources(const struct options *o, const struct target *target)
{
	for (size_t i = 0; i < o->n_sources; i++) {
		const struct address *source = &o->sources[i];
		int r = target_check_source(source);
		char text[ADDRESS_TEXT];
		size_t at = 0;

		while (at < target->n &&
		       target->addresses[at].any.sa_family != source->any.sa_family)
			at++;
		if (r == 0 && at < target->n)
			continue;
		*strrchr(address_format(source, text), ':') = '\0'; /* the port */
		fprintf(stderr, "echoc: --source %s: %s\n", text,
			r == -EADDRNOTAVAIL ? "not an address of this machine" :
			r < 0		    ? strerror(-r) :
					      "the target has no address of this kind");
		return false;
	}
	return true;
}

static int run(const struct options *options)
{
	struct target target;
	const char *reason;

	if (options->command == COMMAND_COMPARE)
		return compare_run(options);
	if (options->command == COMMAND_PLOT)
		return plot_run(options);
	if (target_resolve(&target, options->target, options->family, &reason) < 0) {
		fprintf(stderr, "echoc: %s: %s\n", options->target, reason);
		return EXIT_OTHER;
	}
	if (!check_sources(options, &target))
		return EXIT_OTHER;
	switch (options->command) {
	case COMMAND_PING:
		return ping_run(options, &target);
	case COMMAND_LOAD:
		return options->find.time ? find_run(options, &target) : load_run(options, &target);
	default:
		return talk_run(options, &target);
	}
}

/* What cannot be written is no result; some file systems say only at close(2) that they are full.
 */
static int finish(const struct options *options, int status)
{
	bool piped = options->command == COMMAND_TALK; /* whose output is closed by now */

	if (fflush(stdout) == 0 && !ferror(stdout) && (piped || close(STDOUT_FILENO) == 0))
		return status;
	fprintf(stderr, "echoc: standard output: %s\n", strerror(errno));
	return EXIT_OTHER;
}

int main(int argc, char *argv[])
{
	struct options options;
	int status = options_parse(&options, argc, argv);

	if (status >= 0)
		return finish(&options, status);
	/* What is printed must not go into a connection; talk refuses to begin. */
	if (options.command != COMMAND_TALK && process_fill_descriptors() < 0)
		return EXIT_OTHER;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* at a limit of file sizes, write(2) fails with EFBIG */
	return finish(&options, run(&options));
}
