/*
 * limiter: whom the acceptor lets in.
 *
 * A connection is admitted unless there are max_connections already, or its
 * source has per_source open, or its source connects faster than rate a
 * second beyond a burst.  A source is an IPv4 address or an IPv6 /64, the
 * smallest block that a provider hands out.  Sources are kept only while one
 * of the two limits by source is on.
 *
 * What is refused costs nothing: it counts neither as open nor for the rate.
 */
#ifndef ECHOD_LIMITER_H
#define ECHOD_LIMITER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"

struct source;

/* 0 means no limit.  Written by main, read by the acceptor, at any time. */
struct limiter_settings {
	_Atomic long max_connections;
	_Atomic long per_source;
	_Atomic long rate; /* connections a second and source */
	_Atomic long burst;
};

struct limiter {
	struct limiter_settings settings;
	_Atomic long open;	/* connections admitted and not released */
	struct source *sources; /* the acceptor's: a hash table (uthash) */
	size_t capacity;	/* of sources */
	uint64_t salt;		/* so that nobody can choose sources that collide */
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

/* Any thread: an admitted connection is over. */
void limiter_release(struct limiter *limiter, struct source *source);

#endif
