/* SPDX-License-Identifier: MIT */
/*
 * acceptor: the thread that accepts connections, refuses those beyond a limit, and
 * dispatches the others to the workers, round-robin.
 *
 * Life: acceptor_init(), loop_start(), acceptor_listen() as often as the
 * listeners change, a command by loop.h, all by main.  DRAIN has it
 * serve what waits in the queues, close the listeners, and end; FREEZE has it end at
 * once, and what waits in the queues stays there, and the listeners stay open.
 */
#ifndef ECHOD_ACCEPTOR_H
#define ECHOD_ACCEPTOR_H

#include <stdbool.h>

#include "reactor/refusal_log.h"
#include "reactor/worker.h"

/* Descriptors of listeners. */
struct acceptor_set {
	int fds[CONF_LISTEN_MAX];
	size_t n;
};

struct acceptor {
	struct shared *shared; /* constant */
	struct loop loop;

	/* From main to the acceptor.  Once it has taken it, it is no longer pending, main_fd
	 * becomes readable, and main may write another one. */
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
	int64_t next_pause_line; /* ms: no line about a pause before this */
};

/*
 * shared must outlive it.  0 or -errno; after an error there is nothing to undo.
 * poller_deinit() of its loop is the reverse.
 */
int acceptor_init(struct acceptor *a, struct shared *shared);

/*
 * Gives the acceptor the listeners that it shall have from now on; they become
 * its own to close.  Of those that it had and that are not in the set it
 * serves what waits in their queues, and closes them.  None may be pending.
 */
void acceptor_listen(struct acceptor *a, const struct acceptor_set *set);

/*
 * The listener that failed last: it is watched no more until acceptor_listen()
 * is called, with it or without it.  Returns the errno of accept(2), 0 if there
 * is none since the last call, and its descriptor in *fd.  By then it may have
 * gone, if main has given another set meanwhile.  failed_fd is readable until then: main
 * reads it while it serves, and another thread that freezes the reactor waits for main_fd.
 */
int acceptor_failure(struct acceptor *a, int *fd);

#endif
