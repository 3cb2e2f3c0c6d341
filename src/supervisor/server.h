/* SPDX-License-Identifier: MIT */
/*
 * server: the life of the daemon: start, reload, drain, stop or hand over.
 *
 * This folder is what main does beside the other threads, which serve; main
 * never touches a connection.  cmdline says what to do; server starts and ends
 * all; watch is what it waits for meanwhile, and sends the heartbeat; report logs
 * the counters.  Only main runs here.
 * The folder includes everything below it, and only main.c includes it.
 */
#ifndef ECHOD_SERVER_H
#define ECHOD_SERVER_H

#include <stdbool.h>

#include "conf/conf.h"

struct server_options {
	struct conf_source source; /* read again at each reload; its strings must stay */
	bool only_passed;	   /* serve listeners that the service manager passes, open none */
	bool trace;		   /* see trace.h */
};

/*
 * Starts listening and all threads, and says READY.  process_block_signals() and
 * activation_receive() must have been called.
 *
 * Returns 0, or an exit status of sysexits.h after it has logged why; then
 * nothing is left open or running.
 */
int server_start(const struct conf *conf, const struct server_options *options);

/* After the start: follows signals until the end.  Returns the exit status. */
int server_run(void);

#endif
