/*
 * connections: the records of all connections, indexed by file descriptor, and
 * the lists and queues in which a worker keeps its own.
 *
 * The records are one anonymous mapping, as large as descriptors can get; the
 * kernel gives memory to the pages that are touched, so memory follows the
 * connections and not the limit.  Lists and queues link the records themselves,
 * by index: nothing is allocated, and each operation is O(1).  Index 0 is never
 * a connection (it is standard input), so 0 says "none" in links.
 *
 * Any thread may look up a record; connection.h says which may use it.  A list
 * or queue and its members belong to one worker.
 */
#ifndef ECHOD_CONNECTIONS_H
#define ECHOD_CONNECTIONS_H

#include <stdint.h>

#include "echo/connection.h"

struct connections {
	struct connection *records;
	uint32_t size; /* descriptors below this one have a record */
};

/* In the order in which they were appended; linked in both directions. */
struct list {
	uint32_t head, tail; /* 0: empty */
};

/* First in, first out; each connection is in it once. */
struct queue {
	uint32_t head, tail; /* head 0: empty */
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

/* Appends c, which is in no list. */
void connections_append(const struct connections *all, struct list *list, struct connection *c);

/* Takes c out of the list, in which it is. */
void connections_remove(const struct connections *all, struct list *list, struct connection *c);

/* Puts c at the end of the queue, unless it is in it already. */
void connections_enqueue(const struct connections *all, struct queue *queue, struct connection *c);

/* Takes the first one out of the queue, which is not empty. */
struct connection *connections_dequeue(const struct connections *all, struct queue *queue);

#endif
