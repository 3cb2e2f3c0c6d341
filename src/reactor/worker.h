/* SPDX-License-Identifier: MIT */
/*
 * worker: a thread that echoes, with an epoll instance of its own.
 *
 * Life: worker_init(), perhaps worker_resume(), loop_start(), a command by
 * loop.h, worker_deinit(), all by main.  Until the first command the acceptor
 * dispatches connections to it with worker_adopt(); once the acceptor has ended,
 * DRAIN has it echo what has arrived, send FIN to every client, and end when all
 * have answered; ABORT close everything and end; FREEZE end with all connections
 * and records as they are, for a successor.
 */
#ifndef ECHOD_WORKER_H
#define ECHOD_WORKER_H

#include <semaphore.h>
#include <stdbool.h>

#include "base/counters.h"
#include "conf/option.h"
#include "reactor/connections.h"
#include "reactor/limiter.h"
#include "reactor/loop.h"

/* What the threads of the reactor have in common; constant but for what is said of a member. */
struct shared {
	struct connections connections;
	struct limiter limiter;
	struct worker *workers;
	unsigned n_workers; /* that are initialized */
	size_t buffer_size;
	sem_t started; /* posted by each worker when it serves all that it has */
	int main_fd;   /* an eventfd: a thread has ended, or the acceptor has its listeners */
	int failed_fd; /* and one for acceptor_failure() */
	bool trace;    /* see trace.h */

	/* main writes at any time, the workers read once a round */
	_Alignas(64) _Atomic int64_t idle_ms, stall_ms; /* 0: no timeout */
	_Atomic size_t pending_memory;			/* of each worker */
};

struct worker {
	_Alignas(64) struct shared *shared; /* constant */
	unsigned number;		    /* constant */
	struct loop loop;
	counter accepted; /* the acceptor writes, anyone reads: connections dispatched to it */

	/* the worker writes, anyone reads */
	_Alignas(64) counter closed[CLOSINGS];
	counter echoed; /* bytes; those received are counted in echo */

	/* the worker's alone */
	struct echo echo;
	struct members members;
	enum loop_command obeyed; /* the command that it follows */
};

/* shared must outlive it.  0 or -errno; after an error there is nothing to undo. */
int worker_init(struct worker *w, struct shared *shared, unsigned number);

/* Closes and frees what worker_init() made.  The thread is not running. */
void worker_deinit(struct worker *w);

/*
 * The acceptor: gives the worker a socket and its empty record, which has its
 * source already.  Returns 0, and both are the worker's; or -errno, and both
 * are still the caller's.
 */
int worker_adopt(struct worker *w, int fd);

/*
 * main, before the start: gives the worker a connection of a predecessor, whose
 * record is filled but for what is the worker's own.  The connections must come
 * in the order of `since`.
 */
void worker_resume(struct worker *w, int fd);

/* Any thread: connections that it has now. */
uint64_t worker_open(const struct worker *w);

#endif
