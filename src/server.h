/*
 * server: the life of the daemon.  Main thread only.
 */
#ifndef ECHOD_SERVER_H
#define ECHOD_SERVER_H

#include <stdbool.h>

#include "conf.h"

struct server;

/*
 * Starts listening and all threads, and says READY.  conf is copied; source is
 * read again at each reload and must outlive the server.
 *
 * signals_block() must have been called.
 *
 * Returns 0, or an exit status of sysexits.h after it has logged why.
 */
int server_start(struct server **server, const struct conf *conf, const struct conf_source *source,
		 bool trace);

/* Follows signals until the end.  Returns the exit status. */
int server_run(struct server *server);

/* Frees a server whose server_run() has returned. */
void server_free(struct server *server);

#endif
