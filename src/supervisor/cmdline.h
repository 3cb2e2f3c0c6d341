/* SPDX-License-Identifier: MIT */
/*
 * cmdline: what the command line asks for.
 */
#ifndef ECHOD_CMDLINE_H
#define ECHOD_CMDLINE_H

#include "supervisor/server.h"

enum cmdline_action { CMDLINE_SERVE, CMDLINE_TEST, CMDLINE_PRINT };

struct cmdline {
	enum cmdline_action action;
	struct server_options options; /* the source's overrides are allocated */
};

/*
 * Reads the arguments, prints help, version and complaints.  Returns -1, and
 * cmdline_deinit() is to be called; or the status to exit with.
 */
int cmdline_parse(struct cmdline *cmdline, int argc, char *argv[]);

/* Ends what is printed on standard output: EX_OK, or EX_IOERR after a complaint. */
int cmdline_end_output(void);

void cmdline_deinit(struct cmdline *cmdline);

#endif
