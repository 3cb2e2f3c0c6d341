/*
 * reactor: the acceptor and the workers, and what they share, as one.
 *
 * Life: reactor_init(), reactor_set(), reactor_start(), reactor_listen();
 * reactor_set() and reactor_listen() again at each reload; reactor_stop(),
 * perhaps reactor_abort(), reactor_join(), reactor_deinit().  Main thread only.
 */
#ifndef ECHOD_REACTOR_H
#define ECHOD_REACTOR_H

#include <stdatomic.h>
#include <stdint.h>

#include "reactor/acceptor.h"
#include "reactor/connections.h"
#include "reactor/limiter.h"
#include "reactor/worker.h"

struct reactor {
	struct connections connections;
	struct limiter limiter;
	struct acceptor acceptor;
	struct worker *workers;
	unsigned n_workers;    /* that are initialized */
	unsigned n_running;    /* that have a thread */
	bool accepting;	       /* the acceptor has a thread */
	bool stopping;	       /* and was told to end */
	bool hurried;	       /* workers do not drain when it has ended, but close */
	sem_t started;	       /* posted by each worker when it serves */
	int failed_fd;	       /* readable when a listener has failed: call reactor_has_failed() */
	int done_fd;	       /* readable when a thread has ended: call reactor_has_ended() */
	_Atomic int64_t asked; /* by main: when, in ms, by reactor_ask() */
};

/*
 * Makes everything but the threads, for descriptors below the given number.
 * 0 or -errno; reactor_deinit() is to be called in either case.
 */
int reactor_init(struct reactor *r, const struct conf *conf, uint32_t descriptors, bool trace);

/* The threads are joined.  May be called for a reactor that is all zero. */
void reactor_deinit(struct reactor *r);

/* New settings, in force at once, with the effective max_connections. */
void reactor_set(struct reactor *r, const struct conf *conf, int64_t max_connections);

/*
 * Starts the threads, and returns when all that the workers resume is served.
 * 0, or -errno after those that ran have ended again.
 */
int reactor_start(struct reactor *r);

/* Gives the acceptor its listeners, see acceptor_listen(). */
void reactor_listen(struct reactor *r, const struct acceptor_set *set);

/* True if reactor_failure() has one to tell. */
bool reactor_has_failed(struct reactor *r);

/* The listener that failed last, see acceptor_failure(). */
int reactor_failure(struct reactor *r, int *fd);

/* Connections that are open now. */
uint64_t reactor_open(const struct reactor *r);

/* Asks every thread for a sign of life. */
void reactor_ask(struct reactor *r);

/* The name of a thread that has not answered yet, the first from *i on; or NULL. */
const char *reactor_unanswered(const struct reactor *r, unsigned *i);

/* Waits until the acceptor has its listeners, so that it can get others.  False if it is stuck. */
bool reactor_settle(struct reactor *r);

/*
 * Stops in order: the acceptor serves its queues and ends, then the workers drain.
 * Never waits: goes as far as it can, and is to be called again when done_fd is
 * readable, until it returns true.  Then all threads have ended.
 */
bool reactor_stop(struct reactor *r);

/*
 * Ends all threads where they stand, for a successor: nothing is accepted, sent
 * or closed any more.  Waits some seconds, or only a moment for who has left
 * reactor_ask() unanswered as long.  Who does not come to a halt is stuck, and
 * what it owns is not to be touched: workers that have not ended, and the
 * acceptor while the reactor is `accepting`.
 *
 * Returns how many are stuck.  If it is 0, reactor_join() must follow; else
 * neither that nor reactor_deinit() may.
 */
unsigned reactor_freeze(struct reactor *r);

/* The threads do not end, and the process will: no end of a connection shall look like a whole
 * echo. */
void reactor_reset_all(const struct reactor *r);

/* Has the workers close everything, and end; if the acceptor still runs, when it has ended. */
void reactor_abort(struct reactor *r);

/* Waits for the workers' threads, after reactor_stop() or reactor_freeze(). */
void reactor_join(struct reactor *r);

#endif
