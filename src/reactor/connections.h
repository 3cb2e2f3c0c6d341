/* SPDX-License-Identifier: MIT */
/*
 * connections: the records of all connections, indexed by file descriptor; the
 * lists in which a worker keeps its own; and which of them are overdue.
 *
 * The records are one anonymous mapping, as large as descriptors can get; the
 * kernel gives memory to the pages that are touched, so memory follows the
 * connections and not the limit.  Lists link the records themselves,
 * by index: nothing is allocated, and each operation is O(1).  Index 0 is never
 * a connection (it is standard input), so 0 says "none" in links.
 *
 * Any thread may look up a record; connection.h says which may use it.  A list
 * and its members belong to one worker.
 */
#ifndef ECHOD_CONNECTIONS_H
#define ECHOD_CONNECTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "echo/connection.h"

struct connections {
	struct connection *records;
	uint32_t size; /* descriptors below this one have a record */
};

struct list {
	uint32_t head, tail; /* head 0: empty */
};

/*
 * The connections of one worker, each of which is in one of two lists, in the order of
 * its last progress.  `stalled`: bytes of ours wait for the client.  `idle`: all others.
 */
struct members {
	const struct connections *all;
	struct list ready;	   /* to have a turn now: first in, first out, each once */
	struct list idle, stalled; /* linked in both directions */

	/* times in ms of the clock, see connections_settle() */
	int64_t now;	  /* read once a round, after the wait */
	int64_t settled;  /* every event up to this time has been collected */
	int64_t mark;	  /* the time that will be settled next, */
	uint64_t waiting; /* after as many events; 0: there is no mark */
};

/* 0, or -ENOMEM. */
int connections_init(struct connections *all, uint32_t size);

/* May be called twice.  The connections are not closed. */
void connections_deinit(struct connections *all);

static inline struct connection *connections_at(const struct connections *all, uint32_t index)
{
	return &all->records[index];
}

static inline uint32_t connections_index(const struct connections *all, const struct connection *c)
{
	return (uint32_t)(c - all->records);
}

/* Puts c, which is in no list, into its list; its time is not before that of any other. */
void connections_add(struct members *m, struct connection *c, int64_t since);

/* Takes c out of its list. */
void connections_remove(struct members *m, struct connection *c);

/* c has made progress, or is stalled now, or no longer: its time begins anew. */
void connections_restart(struct members *m, struct connection *c, bool stalled);

/* Puts c at the end of the ready queue, unless it is in it already. */
void connections_enqueue(struct members *m, struct connection *c);

/* Takes the first one out of the ready queue, which is not empty. */
struct connection *connections_dequeue(struct members *m);

/*
 * Reads the clock after a wait that gave n events of at most max.  If it gave all, no
 * more than `watched` sockets are watched, those included that are being added just now.
 */
void connections_settle(struct members *m, int n, int max, uint64_t watched);

/* The connection of m's list that has been overdue longest, or NULL.  0: no timeout. */
struct connection *connections_overdue(const struct members *m, const struct list *list,
				       int64_t timeout_ms);

/* Bytes a second that a client must take, on average over stall_timeout, to be no more than slow.
 */
#define CONNECTIONS_SLOW_RATE 500

/* True if a stalled client took enough since its time began, so long ago. */
bool connections_is_slow(const struct members *m, const struct connection *c, int64_t stall_ms);

/* How many ms until one may be overdue, or is to have its turn; -1: for ever. */
int connections_wait(const struct members *m, int64_t idle_ms, int64_t stall_ms);

#endif
