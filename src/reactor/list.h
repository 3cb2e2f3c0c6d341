/*
 * list: connections in the order of their last activity, the oldest first.
 *
 * Doubly linked through the records themselves, so that nothing is allocated
 * and every operation is O(1).  Only the worker that owns the list and its
 * members calls these.
 */
#ifndef ECHOD_LIST_H
#define ECHOD_LIST_H

#include "reactor/table.h"

struct list {
	uint32_t head, tail; /* 0: empty */
};

/* Appends c, which is in no list. */
void list_append(struct list *list, const struct table *table, struct connection *c);

/* Takes c out of the list, in which it is. */
void list_remove(struct list *list, const struct table *table, struct connection *c);

/*
 * The head, if it is not ready and nothing has happened there for the timeout
 * before `asof`; else NULL.  All in ms; a timeout of 0 is none.
 */
struct connection *list_overdue(const struct list *list, const struct table *table, int64_t timeout,
				int64_t asof);

/* When the head is overdue, in ms of the clock; INT64_MAX: never. */
int64_t list_due(const struct list *list, const struct table *table, int64_t timeout);

#endif
