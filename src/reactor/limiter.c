/* SPDX-License-Identifier: MIT */
/*
 * Sources live in a hash table that only the acceptor reads and changes.  The
 * one field that workers touch is a source's atomic count of open connections;
 * a source with open connections is never freed.
 *
 * The rate is a token bucket in its shortest form (GCRA, ITU-T I.371): `due`
 * is the time at which the bucket will be full again.  Each admission moves it
 * on by one interval, and it may lie at most burst intervals ahead of now.
 *
 * The table stays small and bounded without a timer.  uthash keeps its entries
 * in the order of insertion; each new source first looks at the two oldest and
 * frees those about which there is nothing left to remember, or moves them
 * behind the others.  When the table is full, the oldest without open
 * connections goes, whatever its rate; at most half can have any, since the
 * capacity is twice the number of descriptors.
 */
#include "reactor/limiter.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define uthash_fatal(message) abort() /* not reached: see HASH_NONFATAL_OOM */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough" /* within uthash's hash, on purpose */

#include "base/counters.h"

/*
 * A source's address: an IPv4 address mapped into IPv6, the /64 of an IPv6
 * address with zeros behind it, or a link-local address with the interface's
 * index in its bytes 4 to 7, which are 0 (RFC 4291, 2.5.6).
 */
struct key {
	uint64_t salt;
	struct in6_addr address;
};

struct source {
	struct key key;
	_Atomic long open;
	int64_t due; /* ns */
	UT_hash_handle hh;
};

int limiter_init(struct limiter *limiter, size_t capacity)
{
	memset(limiter, 0, sizeof(*limiter));
	limiter->capacity = capacity;
	return getrandom(&limiter->salt, sizeof(limiter->salt), 0) < 0 ? -errno : 0;
}

static void source_free(struct limiter *limiter, struct source *s)
{
	HASH_DEL(limiter->sources, s);
	free(s);
}

void limiter_deinit(struct limiter *limiter)
{
	struct source *s, *next;

	HASH_ITER (hh, limiter->sources, s, next)
		source_free(limiter, s);
}

static struct key key_of(const struct limiter *limiter, const struct address *peer)
{
	struct key key;

	memset(&key, 0, sizeof(key));
	key.salt = limiter->salt;
	if (peer->any.sa_family == AF_INET) {
		key.address.s6_addr[10] = key.address.s6_addr[11] = 0xff;
		memcpy(&key.address.s6_addr[12], &peer->v4.sin_addr, 4);
	} else if (IN6_IS_ADDR_LINKLOCAL(&peer->v6.sin6_addr)) {
		key.address = peer->v6.sin6_addr;
		memcpy(&key.address.s6_addr[4], &peer->v6.sin6_scope_id, 4);
	} else {
		bool v4 = IN6_IS_ADDR_V4MAPPED(&peer->v6.sin6_addr);

		memcpy(&key.address, &peer->v6.sin6_addr, v4 ? 16 : 8);
	}
	return key;
}

static void source_add(struct limiter *limiter, struct source *s)
{
	HASH_ADD(hh, limiter->sources, key, sizeof(s->key), s);
}

static bool is_open(struct source *s)
{
	/* acquire: pairs with limiter_release(), before the source is freed */
	return atomic_load_explicit(&s->open, memory_order_acquire) > 0;
}

/*
 * Frees the oldest source if it has no open connection and, unless forced, a
 * full bucket; else makes it the youngest.
 */
static void reclaim_oldest(struct limiter *limiter, int64_t now, bool forced)
{
	struct source *s = limiter->sources;

	if (!s)
		return;
	if (!is_open(s) && (forced || s->due <= now)) {
		source_free(limiter, s);
		return;
	}
	if (HASH_COUNT(limiter->sources) == 1) /* removing the last frees the table */
		return;
	HASH_DEL(limiter->sources, s);
	source_add(limiter, s);
}

static struct source *source_new(struct limiter *limiter, const struct key *key, int64_t now)
{
	struct source *s;

	reclaim_oldest(limiter, now, false);
	reclaim_oldest(limiter, now, false);
	for (size_t i = 0; HASH_COUNT(limiter->sources) >= limiter->capacity; i++) {
		if (i > limiter->capacity)
			return NULL;
		reclaim_oldest(limiter, now, true);
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->key = *key;
	s->due = now;
	source_add(limiter, s);
	if (!s->hh.tbl) { /* uthash had no memory */
		free(s);
		return NULL;
	}
	return s;
}

/* 0 or refusal + 1; takes a token if there is one. */
static int take_token(struct limiter *limiter, struct source *s, int64_t now)
{
	int64_t rate = limiter->settings.rate, interval, empty;

	if (rate == 0)
		return 0;
	interval = 1000000000 / rate;
	empty = now + interval * limiter->settings.burst; /* no tokens left */
	if (s->due < now)
		s->due = now;
	if (s->due > empty) /* from before the rate or the burst changed */
		s->due = empty;
	if (s->due + interval > empty)
		return REFUSED_CONNECTION_RATE_PER_SOURCE + 1;
	s->due += interval;
	return 0;
}

/* The peer's source, new if need be; NULL without memory. */
static struct source *source_get(struct limiter *limiter, const struct address *peer, int64_t now)
{
	struct key key = key_of(limiter, peer);
	struct source *s;

	HASH_FIND(hh, limiter->sources, &key, sizeof(key), s);
	return s ? s : source_new(limiter, &key, now);
}

static void open_one(struct limiter *limiter, struct source *s)
{
	if (s)
		atomic_fetch_add_explicit(&s->open, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&limiter->open, 1, memory_order_relaxed);
}

int limiter_admit(struct limiter *limiter, const struct address *peer, int64_t now,
		  struct source **source)
{
	const struct limiter_settings *set = &limiter->settings;
	int64_t max = set->max_connections, per_source = set->per_source;
	struct source *s = NULL;
	int r = 0;

	*source = NULL;
	if (max && limiter->open >= max)
		return REFUSED_MAX_CONNECTIONS + 1;
	if (set->exempts_loopback && address_is_loopback(peer))
		per_source = 0;
	if (per_source || set->rate) {
		s = source_get(limiter, peer, now);
		if (!s)
			return REFUSED_RESOURCES + 1;
		if (per_source && s->open >= per_source)
			return REFUSED_MAX_CONNECTIONS_PER_SOURCE + 1;
		r = take_token(limiter, s, now);
	}
	if (r == 0) {
		*source = s;
		open_one(limiter, s);
	}
	return r;
}

void limiter_count(struct limiter *limiter, const struct address *peer, int64_t now,
		   struct source **source)
{
	bool keeps_sources = limiter->settings.per_source || limiter->settings.rate;

	*source = peer && keeps_sources ? source_get(limiter, peer, now) : NULL;
	open_one(limiter, *source);
}

void limiter_release(struct limiter *limiter, struct source *source)
{
	if (source)
		atomic_fetch_sub_explicit(&source->open, 1, memory_order_release);
	atomic_fetch_sub_explicit(&limiter->open, 1, memory_order_relaxed);
}
