/*
 * queue: connections that are to be served now, first come, first served.
 *
 * Singly linked through the records, each of which is in it once.  Only the
 * worker that owns the queue and its members calls these.
 */
#ifndef ECHOD_QUEUE_H
#define ECHOD_QUEUE_H

#include "reactor/table.h"

struct queue {
	uint32_t head, tail; /* head 0: empty */
};

/* Puts c at the end, unless it is in the queue already. */
void queue_put(struct queue *queue, const struct table *table, struct connection *c);

/* Takes the first one out; the queue is not empty. */
struct connection *queue_take(struct queue *queue, const struct table *table);

#endif
