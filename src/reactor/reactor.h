/* SPDX-License-Identifier: MIT */
/*
 * reactor: the acceptor and the workers, and what they share, as one.
 *
 * This folder has the threads that serve: the acceptor accepts, limits and dispatches
 * (acceptor.h, limiter.h); each worker waits in its epoll instance and gives turns to
 * the echo (worker.h).  Main starts, commands and watches them here and by loop.h.
 * Only echo, conf and base may be included; neither systemd nor listeners are known.
 *
 * Life: reactor_init(), reactor_set(), reactor_start(), acceptor_listen();
 * reactor_set() and acceptor_listen() again at each reload; reactor_stop(),
 * reactor_join(), reactor_deinit().  Main thread only.
 */
#ifndef ECHOD_REACTOR_H
#define ECHOD_REACTOR_H

#include "reactor/acceptor.h"

struct reactor {
	struct shared shared;
	struct acceptor acceptor;
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

/* Connections that are open now. */
uint64_t reactor_open(const struct reactor *r);

/* Asks every thread for a heartbeat. */
void reactor_ask(struct reactor *r);

/* The name of a thread that has not answered yet, the first from *i on; or NULL. */
const char *reactor_unanswered(struct reactor *r, unsigned *i);

/* Waits until the acceptor has its listeners, so that it can get others.  False if it is stuck. */
bool reactor_settle(struct reactor *r);

/*
 * Shuts down gracefully: the acceptor serves its queues and ends, then the workers
 * drain, or, if hurried, close everything.  Never waits: goes as far as it can, and is
 * to be called again when main_fd is readable, until it returns true.  Then all
 * threads have ended.
 */
bool reactor_stop(struct reactor *r, bool hurried);

/*
 * Ends all threads where they are, for a successor: nothing is accepted, sent
 * or closed any more.  Waits some seconds, or only a moment for threads that have
 * given no heartbeat for as long.  A thread that does not end is stuck, and what it
 * owns is not to be touched.
 *
 * Returns how many are stuck.  If it is 0, reactor_join() must follow; else
 * neither that nor reactor_deinit() may.
 */
unsigned reactor_freeze(struct reactor *r);

/* The threads do not end, and the process will: no end of a connection shall look like a whole
 * echo. */
void reactor_reset_all(const struct reactor *r);

/* Waits for the threads that were started, after reactor_stop() or reactor_freeze(). */
void reactor_join(struct reactor *r);

#endif
