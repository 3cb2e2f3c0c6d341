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

/* The end has come before the answers. */
void link_abandon(struct links *l, struct link *k);

#endif
