/* SPDX-License-Identifier: MIT */
/*
 * dial: how a link gets its socket, loses it, and gets the next.
 *
 * Only the thread of its loader calls these.
 */
#ifndef ECHOC_DIAL_H
#define ECHOC_DIAL_H

#include "echoc/links.h"

/* Begins to connect a link that is new or away. */
void dial_connect(struct links *l, struct link *k);

/* A connect has failed: tries the next address, if there is one. */
void dial_retry(struct links *l, struct link *k, int error);

/* The connect that is under way is of no use any more. */
void dial_give_up(struct links *l, struct link *k);

/* A connect has succeeded or failed for the first time: main waits for that of all. */
void dial_note_tried(struct links *l, struct link *k);

/* Counts the errno of a connection that failed or broke; 0: none. */
void dial_note_error(struct links *l, const struct link *k, int error);

/* Closes the socket that it has. */
void dial_close(struct links *l, struct link *k);

/* It has no socket any more, and is over. */
void dial_over(struct links *l, struct link *k);

/* The same, but it is tried again: not served since a time in ns, with so many messages lost. */
void dial_go_away(struct links *l, struct link *k, int64_t since, uint64_t lost);

/* It was away, and is served again. */
void dial_come_back(struct links *l, struct link *k);

/* Nothing more will happen: counts what was due and not sent. */
void dial_forget(struct links *l, struct link *k);

/* The load has ended, and the time for what was due before is over, too. */
bool dial_is_late(const struct links *l);

#endif
