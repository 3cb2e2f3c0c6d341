/* SPDX-License-Identifier: MIT */
/*
 * counters: what has happened, see COUNTERS in echod(8).
 *
 * Each counter has one thread that writes it, so that no locked instruction is needed;
 * any thread may read it at any time.
 */
#ifndef ECHOD_COUNTERS_H
#define ECHOD_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t counter;

/* Why a connection was refused. */
enum refusal {
	REFUSED_MAX_CONNECTIONS,
	REFUSED_MAX_CONNECTIONS_PER_SOURCE,
	REFUSED_CONNECTION_RATE_PER_SOURCE,
	REFUSED_RESOURCES, /* no memory, no descriptor, or epoll cannot watch it */
	REFUSALS
};

/* Why a connection was closed. */
enum closing {
	CLOSED_BY_CLIENT, /* FIN came, and all before it was echoed */
	CLOSED_BY_ERROR,  /* reset, or the network gave up */
	CLOSED_IDLE,
	CLOSED_STALLED,
	CLOSED_BY_SHUTDOWN, /* shutdown_timeout or a second signal ended it */
	CLOSINGS
};

/* The names as in the log and in echod(8). */
extern const char *const refusal_names[REFUSALS];
extern const char *const closing_names[CLOSINGS];

/* The writing thread alone may call these. */
static inline void counter_set(counter *c, uint64_t value)
{
	atomic_store_explicit(c, value, memory_order_relaxed);
}

static inline uint64_t counter_get(const counter *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

static inline void counter_add(counter *c, uint64_t n)
{
	counter_set(c, counter_get(c) + n);
}

static inline void counter_increment(counter *c)
{
	counter_add(c, 1);
}

#endif
