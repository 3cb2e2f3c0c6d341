/*
 * server: the life of the daemon.  Main thread only.
 */
#ifndef ECHOD_SERVER_H
#define ECHOD_SERVER_H

#include <stdbool.h>

#include "conf/conf.h"

struct server;

struct server_options {
	struct conf_source
		source;	  /* read again at each reload; its strings must outlive the server */
	bool only_passed; /* serve listeners that the service manager passes, open none */
	bool trace;	  /* see trace.h */
};

/*
 * Starts listening and all threads, and says READY.  conf is copied; options
 * must outlive the server.
 *
 * signals_block() and activation_receive() must have been called.
 *
 * Returns 0, or an exit status of sysexits.h after it has logged why.
 */
int server_start(struct server **server, const struct conf *conf,
		 const struct server_options *options);

/* Follows signals until the end.  Returns the exit status. */
int server_run(struct server *server);

/* Frees a server whose server_run() has returned. */
void server_free(struct server *server);

#endif
