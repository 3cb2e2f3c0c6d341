/* SPDX-License-Identifier: MIT */
/*
 * refusal_log: the log records of refused connections.
 *
 * The first one is logged immediately, those of the next ten seconds are
 * summarised when they are over, and so on.  Only the acceptor calls these.
 */
#ifndef ECHOD_REFUSAL_LOG_H
#define ECHOD_REFUSAL_LOG_H

#include <stdint.h>

#include "base/address.h"
#include "base/counters.h"

#define REFUSAL_LOG_INTERVAL_MS 10000

/* All zero at first. */
struct refusal_log {
	uint64_t untold[REFUSALS];
	struct address last; /* the client that was refused last */
	int64_t next;	     /* ms of the clock: not to be told before this */
};

/* Adds one and writes, as the next one does.  Times are in ms of the clock. */
void refusal_log_add(struct refusal_log *r, enum refusal reason, const struct address *client,
		     const counter totals[REFUSALS], int64_t now);

/* Writes a record if it is time to; totals are the counters since the start. */
void refusal_log_write(struct refusal_log *r, const counter totals[REFUSALS], int64_t now);

/* When it will be time to; INT64_MAX: there is nothing to log. */
int64_t refusal_log_due(const struct refusal_log *r);

#endif
