/*
 * acceptor: the thread that accepts, refuses, and hands sockets to the workers
 * in turn.
 *
 * Life: acceptor_init(), acceptor_start(), acceptor_listen() as often as the
 * listeners change, acceptor_stop() or acceptor_leave(), acceptor_deinit(), all by main.
 */
#ifndef ECHOD_ACCEPTOR_H
#define ECHOD_ACCEPTOR_H

#include <pthread.h>
#include <stdbool.h>

#include "base/counters.h"
#include "base/poller.h"
#include "conf/settings.h"
#include "reactor/connections.h"
#include "reactor/limiter.h"
#include "reactor/refusals.h"
#include "reactor/worker.h"

/* The pointers must outlive the acceptor. */
struct acceptor_config {
	struct worker *workers;
	unsigned n_workers;
	const struct connections *connections;
	struct limiter *limiter;
	int done_fd;   /* an eventfd, which is written when the thread has ended */
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
	pthread_t thread;
	struct poller poller; /* woken to look at wanted and stop */

	pthread_mutex_t lock; /* guards the next five */
	pthread_cond_t taken_over;
	struct acceptor_set wanted;
	bool stop;
	bool leave;
	bool pending; /* wanted and stop have not been taken over yet */

	/* the acceptor writes, anyone reads */
	counter refused[REFUSALS];
	counter pauses;
	_Atomic uint64_t failure; /* see acceptor_failure(), which resets it */
	_Atomic bool ended;	  /* its last word */

	/* the acceptor's alone */
	struct acceptor_set set; /* in the epoll instance, unless... */
	bool unwatched;		 /* some may not be there yet */
	unsigned next;		 /* worker */
	struct refusals refusals;
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
 * serves what waits in their queues, and closes them.  Returns at once, unless
 * it has not taken over the set before this one yet.
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

/*
 * Has the thread end at once; what waits in the queues stays there, and the
 * listeners stay open.  acceptor_join() is to be called when it has ended.
 */
void acceptor_leave(struct acceptor *a);
bool acceptor_has_ended(const struct acceptor *a);
void acceptor_join(struct acceptor *a);

/*
 * Has the thread serve what waits in the queues, close the listeners, and end.
 * Returns as acceptor_listen(); acceptor_join() is to be called when it has ended.
 */
void acceptor_stop(struct acceptor *a);

/* True if the last set was taken over.  done_fd becomes readable when it is. */
bool acceptor_is_settled(struct acceptor *a);

#endif
