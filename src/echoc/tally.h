/* SPDX-License-Identifier: MIT */
/*
 * tally: what has been sent, verified, lost and measured.
 *
 * One thread counts, any may read at any time.
 */
#ifndef ECHOC_TALLY_H
#define ECHOC_TALLY_H

#include "echoc/histogram.h"

struct tally {
	counter connections; /* that were made */
	counter connect_failures;
	counter messages_due; /* planned by the rate, or sent */
	counter messages_sent, messages_verified;
	counter bytes_sent, bytes_verified;
	counter corrupt;      /* messages with a wrong byte, or bytes that nobody asked for */
	counter lost;	      /* messages that did not come back in time */
	counter resets;	      /* connections that broke */
	counter early_closes; /* connections that the server ended */
	struct histogram latency, connect;
};

/* Adds what `from` has to `to`, which nobody else writes. */
void tally_add(struct tally *to, const struct tally *from);

/* EXIT_ALL_BACK, EXIT_NOT_ALL_BACK or EXIT_OTHER (see options.h) by what was counted. */
int tally_status(const struct tally *tally);

/* Expected by tally_report() where no byte was asked for. */
#define TALLY_NOTHING 256

/* Tells on stderr where a stream is wrong; the first few of the process only. */
void tally_report(uint64_t connection, uint64_t offset, unsigned expected, unsigned found);

#endif
