/* SPDX-License-Identifier: MIT */
/*
 * echod: parse, start, run.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"
#include "base/process.h"
#include "listen/activation.h"
#include "supervisor/cmdline.h"
#include "supervisor/server.h"
#include "systemd/notify.h"

/* What the machine lacks now is not an error of the file, and may exist at the next try. */
static int status_of(int error)
{
	bool lacks = error == -EIO || error == -EMFILE || error == -ENFILE || error == -ENOMEM;

	return lacks ? EX_OSERR : EX_CONFIG;
}

static int act(const struct cmdline *cmdline)
{
	static struct conf conf; /* static: main's stack may be small, see thread.c */
	static struct problems problems;
	int r = conf_load(&conf, &cmdline->options.source, &problems);

	if (r < 0) {
		problems_log(&problems, 0);
		if (cmdline->action == CMDLINE_SERVE)
			notify_status(problems.text[0]);
		return status_of(r);
	}
	switch (cmdline->action) {
	case CMDLINE_TEST:
		return EX_OK;
	case CMDLINE_PRINT:
		conf_print(&conf, stdout);
		return cmdline_end_output();
	default:
		r = server_start(&conf, &cmdline->options);
		return r ? r : server_run();
	}
}

int main(int argc, char *argv[])
{
	struct cmdline cmdline;
	int status, r;

	process_block_signals();
	r = process_fill_descriptors();
	if (r < 0) {
		log_error("cannot open /dev/null: %s", strerrordesc_np(-r));
		return EX_OSERR;
	}
	activation_receive();
	process_close_descriptors();
	log_init();
	status = cmdline_parse(&cmdline, argc, argv);
	if (status >= 0)
		return status;
	status = act(&cmdline);
	cmdline_deinit(&cmdline);
	log_flush(status == EX_OK ? LOG_FLUSH_MS : LOG_FLUSH_ERROR_MS);
	return status;
}
