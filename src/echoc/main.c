/* SPDX-License-Identifier: MIT */
/*
 * echoc: parse, resolve, run.
 */
#include <signal.h>
#include <stdio.h>

#include "base/process.h"
#include "echoc/load.h"
#include "echoc/options.h"
#include "echoc/ping.h"
#include "echoc/talk.h"
#include "echoc/target.h"

int main(int argc, char *argv[])
{
	struct options options;
	struct target target;
	const char *reason;
	int status = options_parse(&options, argc, argv);

	if (status >= 0)
		return status;
	/* What is printed must not go into a connection; talk refuses to begin. */
	if (options.command != COMMAND_TALK && process_fill_descriptors() < 0)
		return EXIT_OTHER;
	signal(SIGPIPE, SIG_IGN);
	if (target_resolve(&target, options.target, options.family, &reason) < 0) {
		fprintf(stderr, "echoc: %s: %s\n", options.target, reason);
		return EXIT_OTHER;
	}
	switch (options.command) {
	case COMMAND_PING:
		return ping_run(&options, &target);
	case COMMAND_LOAD:
		return load_run(&options, &target);
	default:
		return talk_run(&options, &target);
	}
}
