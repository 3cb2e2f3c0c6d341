/* SPDX-License-Identifier: MIT */
/*
 * limiter: which connections the acceptor admits.
 *
 * A connection is admitted unless there are max_connections already, or its
 * source has per_source open, or its source connects faster than rate a
 * second beyond a burst.  A source is an IPv4 address or an IPv6 /64, the
 * smallest block that a provider hands out; of link-local addresses, which
 * have the same /64 on every link, each is a source of its link.  Sources are
 * kept only while one of the two limits by source is on.
 *
 * Only one thread at a time may call these functions, the acceptor while it
 * runs; limiter_release() any thread.
 *
 * What is refused costs nothing: it counts neither as open nor for the rate.
 */
#ifndef ECHOD_LIMITER_H
#define ECHOD_LIMITER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

struct source;

/* 0 means no limit.  Written by main, read by the acceptor, at any time. */
struct limiter_settings {
	_Atomic int64_t max_connections;
	_Atomic int64_t per_source;
	_Atomic bool exempts_loopback; /* from per_source */
	_Atomic int64_t rate;	       /* connections a second and source */
	_Atomic int64_t burst;
};

struct limiter {
	struct limiter_settings settings;
	_Atomic long open;	/* connections admitted and not released */
	struct source *sources; /* the acceptor's: a hash table (uthash) */
	size_t capacity;	/* of sources */
	uint64_t salt;		/* so that no client can choose sources that collide */
};

/* capacity: how many sources to remember at most, more than connections. */
int limiter_init(struct limiter *limiter, size_t capacity);
void limiter_deinit(struct limiter *limiter);

/*
 * The acceptor asks for each connection.  Returns 0, and the connection's
 * source (or NULL) in *source, which limiter_release() wants back; or the
 * refusal + 1 (see counters.h).  now is in ns, see clock.h.
 */
int limiter_admit(struct limiter *limiter, const struct address *peer, int64_t now,
		  struct source **source);

/*
 * Counts a connection that is there already, whatever the limits say, and
 * takes no token.  *source as above; NULL too if the peer is not known (NULL),
 * or without memory.
 */
void limiter_count(struct limiter *limiter, const struct address *peer, int64_t now,
		   struct source **source);

/* Any thread: an admitted connection is over. */
void limiter_release(struct limiter *limiter, struct source *source);

#endif
