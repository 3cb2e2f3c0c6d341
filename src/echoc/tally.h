/* SPDX-License-Identifier: MIT */
/*
 * tally: what has been sent, verified, lost and measured.
 *
 * One thread counts, any may read at any time.
 */
#ifndef ECHOC_TALLY_H
#define ECHOC_TALLY_H

#include "echoc/histogram.h"

#define TALLY_ERRORS 134 /* more than the largest errno of Linux */

/* Those of messages and bytes without what belongs to a warm-up, but for corrupt. */
struct tally {
	counter connections; /* that were made */
	counter connect_failures;
	counter messages_due; /* offered: their time has come, by the rate; or there was room */
	counter messages_sent, messages_verified;
	counter bytes_sent, bytes_verified;
	counter corrupt;      /* messages with a wrong byte, or bytes that were not asked for */
	counter lost;	      /* messages that were sent and did not come back in time */
	counter unsent;	      /* messages that were offered, until their connection ended */
	counter in_flight;    /* messages that were sent when the user ended the load at once */
	counter resets;	      /* connections that broke */
	counter early_closes; /* connections that the server ended */
	counter errors[TALLY_ERRORS]; /* connections that failed or broke, by their errno */
	counter last_answer; /* ns of the clock: when the last byte that counts came back; or 0 */
	struct histogram latency, connect;
};

/* Counts an errno of a connection. */
void tally_error(struct tally *tally, int error);

/* Adds what `from` has to `to`, which no other thread writes. */
void tally_add(struct tally *to, const struct tally *from);

/* Takes away from `t` what it had at an earlier time. */
void tally_subtract(struct tally *t, const struct tally *earlier);

/* EXIT_ALL_BACK, EXIT_NOT_ALL_BACK or EXIT_OTHER (see options.h) by what was counted. */
int tally_status(const struct tally *tally);

/* Expected by tally_report() where no byte was asked for. */
#define TALLY_NOTHING 256

/* Prints on stderr where a stream is wrong; the first few of the process only. */
void tally_report(uint64_t connection, uint64_t offset, unsigned expected, unsigned found);

#endif
