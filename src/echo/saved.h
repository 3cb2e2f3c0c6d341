/* SPDX-License-Identifier: MIT */
/*
 * saved: what a successor of this process must know of a connection, as it
 * stands in the file that is handed over.  restart/state.h says how it may
 * change.
 */
#ifndef ECHOD_SAVED_H
#define ECHOD_SAVED_H

#include <stdint.h>

struct saved {
	int64_t since;		 /* ms of the clock: its last progress */
	uint64_t echoed;	 /* bytes */
	uint64_t pending;	 /* bytes, which are stored apart */
	uint32_t unacknowledged; /* of what was echoed, so much the peer had not at `since` */
	uint16_t worker;
	uint16_t stalled; /* 0, or 1, or, if its end is not acknowledged, reason to close + 2 */
};

_Static_assert(sizeof(struct saved) == 32, "no padding, and as version 2 had it");

#endif
