/*
 * worker: a thread with an epoll instance of its own, which echoes.
 *
 * Life: worker_init(), perhaps worker_resume(), worker_start(), then either
 * worker_drain() and perhaps worker_abort(), or worker_freeze(); worker_join(),
 * worker_deinit(), all by main.  Between start and drain the acceptor gives it
 * connections with worker_adopt().
 */
#ifndef ECHOD_WORKER_H
#define ECHOD_WORKER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#include "base/poller.h"
#include "reactor/clients.h"

/* How a worker is set up; the pointers must outlive it. */
struct worker_config {
	unsigned number;
	size_t buffer_size;
	const struct connections *connections;
	struct limiter *limiter;
	sem_t *started; /* posted when the thread serves all that it has */
	int done_fd;	/* an eventfd, which is written when the thread has ended */
	bool trace;	/* see trace.h */
};

/* May change at any time, see worker_set(). */
struct worker_settings {
	int64_t idle_timeout;  /* seconds, 0: none */
	int64_t stall_timeout; /* seconds, 0: none */
	size_t pending_memory; /* bytes */
};

struct worker {
	_Alignas(64) struct worker_config config; /* constant */
	char name[16];
	pthread_t thread;
	struct poller poller; /* woken to look at order and settings */

	/* main writes, the worker reads */
	_Atomic int order;
	_Atomic size_t pending_memory;

	_Atomic bool ended; /* the worker's last word: what it owned is anyone's to read */
	counter accepted;   /* the acceptor writes: connections given to it */

	struct clients clients;
	int obeyed; /* the worker's alone: the order that it is following */
};

/* 0 or -errno; after an error there is nothing to undo. */
int worker_init(struct worker *w, const struct worker_config *config);

/* Closes and frees what worker_init() made.  The thread is not running. */
void worker_deinit(struct worker *w);

/* 0 or -errno.  Signals should be blocked: the thread inherits the mask. */
int worker_start(struct worker *w);

/* main: new settings, in force at once.  Also before the start. */
void worker_set(struct worker *w, const struct worker_settings *settings);

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

/*
 * main, once the acceptor has ended: end after this round, with every
 * connection and its record as they are, for a successor.
 */
void worker_freeze(struct worker *w);

/*
 * main, once the acceptor has ended: echo what has arrived, send FIN to
 * everyone, and end when all have answered.
 */
void worker_drain(struct worker *w);

/* main, after worker_drain(): close everything and end. */
void worker_abort(struct worker *w);

/* main: waits for the thread to end. */
void worker_join(struct worker *w);

/* Any thread: true if the thread has come to its end. */
static inline bool worker_has_ended(const struct worker *w)
{
	return atomic_load_explicit(&w->ended, memory_order_acquire);
}

/* Any thread: connections that it has now. */
uint64_t worker_open(const struct worker *w);

#endif
