/*
 * clients: the connections of one worker: whose turn it is, who is overdue, and
 * how each of them ends.
 *
 * Only the worker's thread calls these functions, or main before that runs.
 */
#ifndef ECHOD_CLIENTS_H
#define ECHOD_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/counters.h"
#include "reactor/connections.h"
#include "reactor/limiter.h"
#include "reactor/timeouts.h"

struct clients {
	/* constant */
	const struct connections *connections;
	struct limiter *limiter;
	const char *name; /* the worker's, for the log, */
	unsigned number;  /* and for probes */

	/* the worker writes, anyone reads */
	_Alignas(64) counter closed[CLOSINGS];
	counter closed_total;
	counter received, echoed; /* bytes */

	/* the worker's alone */
	struct echo echo;
	struct timeouts timeouts; /* but for its settings, which main writes */
	struct queue ready;	  /* to be served now */
	bool draining;
};

/* A connection of a predecessor, whose record is filled, and which has no event yet. */
void clients_resume(struct clients *s, int fd);

/* An event of epoll for fd, perhaps the first one: then it is a new connection. */
void clients_hear(struct clients *s, int fd, uint32_t events);

/* Gives one turn to each connection that is ready now. */
void clients_serve(struct clients *s);

/* Ends what is overdue, or as much of it as one round may; clients_patience() is 0 then. */
void clients_expire(struct clients *s);

/* How long to wait for events, in milliseconds; -1: for ever. */
int clients_patience(const struct clients *s);

/* From now on each one gets the echo of what has arrived, then our FIN. */
void clients_drain(struct clients *s);

/* Ends one that is not ready; error is an errno or 0. */
void clients_end(struct clients *s, struct connection *c, enum closing reason, int error);

/* Ends all. */
void clients_end_all(struct clients *s);

#endif
