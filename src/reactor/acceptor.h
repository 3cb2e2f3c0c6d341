/* SPDX-License-Identifier: MIT */
/*
 * acceptor: the thread that accepts connections, refuses those beyond a limit, and
 * dispatches the others to the workers, round-robin.
 *
 * Life: acceptor_init(), acceptor_start(), acceptor_listen() as often as the
 * listeners change, a command by loop.h, acceptor_deinit(), all by main.  DRAIN has it
 * serve what waits in the queues, close the listeners, and end; FREEZE has it end at
 * once, and what waits in the queues stays there, and the listeners stay open.
 */
#ifndef ECHOD_ACCEPTOR_H
#define ECHOD_ACCEPTOR_H

#include <stdbool.h>

#include "base/counters.h"
#include "conf/option.h"
#include "reactor/connections.h"
#include "reactor/limiter.h"
#include "reactor/loop.h"
#include "reactor/refusal_log.h"
#include "reactor/worker.h"

/* The pointers must outlive the acceptor. */
struct acceptor_config {
	struct worker *workers;
	unsigned n_workers;
	const struct connections *connections;
	struct limiter *limiter;
	int main_fd;   /* an eventfd that wakes main: see acceptor_is_settled() */
	int failed_fd; /* and one for when a listener has failed, see acceptor_failure() */
	bool trace;    /* see trace.h */
};

/* Descriptors of listeners. */
struct acceptor_set {
	int fds[CONF_LISTEN_MAX];
	size_t n;
};

struct acceptor {
	struct acceptor_config config; /* constant */
	struct loop loop;

	/* from main to the acceptor, if it is pending; else main may write it */
	struct acceptor_set wanted;
	_Atomic bool pending;

	/* the acceptor writes, anyone reads */
	counter refused[REFUSALS];
	counter pauses;
	_Atomic uint64_t failure; /* see acceptor_failure(), which resets it */

	/* the acceptor's alone */
	struct acceptor_set set; /* in the epoll instance, unless... */
	bool unwatched;		 /* some may not be there yet */
	unsigned next;		 /* worker */
	struct refusal_log refusal_log;
	int64_t next_pause_line; /* ns: no line about a pause before this */
};

/* 0 or -errno; after an error there is nothing to undo. */
int acceptor_init(struct acceptor *a, const struct acceptor_config *config);
void acceptor_deinit(struct acceptor *a);

/* 0 or -errno. */
int acceptor_start(struct acceptor *a);

/*
 * Gives the acceptor the listeners that it shall have from now on; they become
 * its own to close.  Of those that it had and that are not in the set it
 * serves what waits in their queues, and closes them.  It must be settled.
 */
void acceptor_listen(struct acceptor *a, const struct acceptor_set *set);

/*
 * The listener that failed last: it is watched no more until acceptor_listen()
 * is called, with it or without it.  Returns the errno of accept(2), 0 if there
 * is none since the last call, and its descriptor in *fd.  By then it may have
 * gone, if main has given another set meanwhile.
 */
int acceptor_failure(struct acceptor *a, int *fd);
bool acceptor_has_failed(const struct acceptor *a);

/* True if the last set was taken over: main_fd becomes readable, and another may be given. */
bool acceptor_is_settled(const struct acceptor *a);

#endif
