/* SPDX-License-Identifier: MIT */
#include "echoc/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "echoc/dialog.h"
#include "echoc/options.h"
#include "echoc/pump.h"
#include "echoc/target.h"
#include "echoc/wire.h"

/* Rounded up, and no more than poll(2) can take. */
static int to_ms(int64_t ns)
{
	int64_t ms = (ns + 999999) / 1000000;

	return ms < INT_MAX ? (int)ms : INT_MAX;
}

static int complain(const char *what, const char *why)
{
	fprintf(stderr, "echoc: %s: %s\n", what, why);
	return EXIT_OTHER;
}

/*
 * The socket must not get the number of a standard stream that is closed: it
 * would be taken for it.  0 or an exit status.
 */
static int check_standard_streams(void)
{
	if (fcntl(STDIN_FILENO, F_GETFD) < 0)
		return complain("standard input", strerror(errno));
	if (fcntl(STDOUT_FILENO, F_GETFD) < 0)
		return complain("standard output", strerror(errno));
	if (fcntl(STDERR_FILENO, F_GETFD) < 0 && open("/dev/null", O_WRONLY) < 0)
		return EXIT_OTHER; /* and nowhere to say why */
	return 0;
}

static int judge(const struct wire *wire, const char *name)
{
	char text[WIRE_TEXT];
	int status = wire_status(wire);

	if (status != EXIT_ALL_BACK)
		fprintf(stderr, "echoc: %s: %s\n", name, wire_text(wire, text));
	return status;
}

int talk_run(const struct options *options, const struct target *target)
{
	char text[ADDRESS_TEXT];
	struct address peer;
	struct wire wire;
	int fd, status = check_standard_streams();

	if (status != 0)
		return status;
	fd = target_connect(target, to_ms(options->connect_timeout), &peer);
	if (fd < 0)
		return complain(target->name, target_error(-fd));
	wire_init(&wire, fd, options->verify);
	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) {
		printf("Connected to %s.\n", address_format(&peer, text));
		status = dialog_run(&wire, to_ms(options->timeout));
	} else {
		status = pump_run(&wire, to_ms(options->timeout));
	}
	if (status == 0)
		status = judge(&wire, target->name);
	wire_deinit(&wire);
	return status;
}
