/* SPDX-License-Identifier: MIT */
/*
 * link: one connection of a load, from its connect to its end, perhaps again and again.
 *
 * Only the thread of its loader calls these.
 */
#ifndef ECHOC_LINK_H
#define ECHOC_LINK_H

#include "echoc/links.h"

/* Follows an event of its socket. */
void link_serve(struct links *l, struct link *k);

/* Its next message is due, by the rate, at that time. */
void link_give(struct links *l, struct link *k, int64_t time);

/* Looks after what no event tells of. */
void link_expire(struct links *l, struct link *k);

/* Nothing more will happen: counts what was due and not sent. */
void link_forget(struct links *l, struct link *k);

/* The rest is in dial.c: how a link gets and loses its socket. */

/* Begins to connect a link that is new or away. */
void link_connect(struct links *l, struct link *k);

/* A connect has failed: tries the next address, if there is one. */
void link_retry(struct links *l, struct link *k, int error);

/* A connect has succeeded or failed for the first time: main waits for that of all. */
void link_note_tried(struct links *l, struct link *k);

/* Counts the errno of a connection that failed or broke; 0: none. */
void link_note_error(struct links *l, const struct link *k, int error);

/* True if it has a socket, which link_close() closes. */
bool link_has_socket(const struct link *k);
void link_close(struct links *l, struct link *k);

/* It has no socket any more: it is over, or away with so many messages lost, to be tried again. */
void link_over(struct links *l, struct link *k);
void link_go_away(struct links *l, struct link *k, uint64_t lost);

/* It was away, and is served again. */
void link_come_back(struct links *l, struct link *k);

/* The load has ended, and the time for what was due before is over, too. */
bool link_is_late(const struct links *l);

#endif
