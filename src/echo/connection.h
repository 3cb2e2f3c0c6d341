/* SPDX-License-Identifier: MIT */
/*
 * connection: the echo of one socket.
 *
 * This folder is the protocol, and the one that a server for another protocol would
 * replace.  It runs in the workers, moves bytes and says how far it got; it knows
 * nothing of threads, lists or time, and may include base only.
 *
 * A connection is a record of 64 bytes, whose index is the descriptor (see
 * reactor/connections.h).  Only the thread that owns the record calls these functions.
 */
#ifndef ECHOD_CONNECTION_H
#define ECHOD_CONNECTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/counters.h"
#include "echo/pipe.h"

struct source;

/* Bytes that were received and that send() did not take yet. */
struct pending {
	size_t size; /* of data */
	size_t sent; /* of these, so many are done */
	unsigned char data[];
};

struct connection {
	/*
	 * Worker's number + 1, or 0 for none.  The acceptor sets it before
	 * it gives the socket away; the worker clears it (release) when the
	 * record is empty and before it closes the descriptor, and the
	 * acceptor that gets this descriptor again reads it (acquire).
	 */
	_Alignas(64) _Atomic uint16_t owner;
	bool adopted;	 /* the worker has seen it */
	bool stalled;	 /* the client does not take its echo */
	bool ready;	 /* on the worker's ready queue */
	bool finished;	 /* our FIN is sent: what still comes is thrown away */
	bool streams;	 /* its last receive was large */
	uint8_t parting; /* 0, or, if only acknowledgements are waited for, reason to close + 1 */
	uint32_t older, younger; /* neighbours in the worker's list; 0: none */
	uint32_t next_ready;	 /* the next in its ready queue */
	uint32_t owed;		 /* bytes that are still to be received, while the worker drains */
	uint64_t acknowledged;	 /* bytes of the echo that the client had at `since`, if stalled */
	int64_t since;		 /* ms, see clock.h: the last progress */
	uint64_t echoed;	 /* bytes */
	struct pending *pending; /* owned; NULL if there are none */
	struct source *source;	 /* see limiter.h; NULL if it is not counted */
};

_Static_assert(sizeof(struct connection) == 64, "one cache line");

/*
 * What a successor of this process must know of a connection, as it stands in the file
 * that is handed over; restart/state.h says how it may change.
 */
struct saved {
	int64_t since;		 /* ms of the clock: its last progress */
	uint64_t echoed;	 /* bytes */
	uint64_t pending;	 /* bytes, which are stored apart */
	uint32_t unacknowledged; /* of what was echoed, so much the peer had not at `since` */
	uint16_t worker;
	uint16_t stalled; /* 0, or 1, or, if its end is not acknowledged, reason to close + 2 */
};

_Static_assert(sizeof(struct saved) == 32, "no padding, and as version 2 had it");

/* What the connections of one worker share.  Only that worker touches it, but for the counter. */
struct echo {
	unsigned char *buffer;
	size_t size;	  /* of buffer */
	size_t held;	  /* bytes in all pending buffers */
	size_t budget;	  /* for held */
	counter received; /* bytes, ever; anyone reads */
	struct pipe pipe;
};

/* How a turn ended.  A negative errno: the connection is broken, close it. */
enum turn {
	TURN_IDLE,    /* all is echoed and nothing waits; the next event tells of more */
	TURN_STALLED, /* the socket takes no more; the next event tells when it does */
	TURN_MORE,    /* the turn is over before EAGAIN: call again */
	TURN_END,     /* the client has sent its FIN, and all before it is echoed */
};

/* Receives and echoes until nothing is left to do or the turn is used up. */
int connection_turn(struct connection *c, int fd, struct echo *echo);

/*
 * A turn while the worker drains: echoes what is owed and sends our FIN.  After that it
 * receives and throws away until the client's FIN has come.  Never TURN_IDLE before ours.
 */
int connection_last_turn(struct connection *c, int fd, struct echo *echo);

/*
 * Asks whether close(2) would leave nothing to acknowledge but a FIN: TURN_END.
 * Else sends the FIN, and returns TURN_STALLED: an event tells when to ask
 * again.  Or -errno: the rest will never be acknowledged.
 */
int connection_part(struct connection *c, int fd);

/* Writes what a successor must know, all but the pending bytes. */
void connection_save(const struct connection *c, struct saved *saved);

/* Fills an empty record, all but the pending bytes, for which it has room then.  0 or -ENOMEM. */
int connection_restore(struct connection *c, const struct saved *saved, struct echo *echo);

/* Frees the pending bytes, if any, and gives their budget back.  Returns how many they were. */
size_t connection_forget(struct connection *c, struct echo *echo);

/* Empties the record of a connection that is over, all but its owner. */
void connection_clear(struct connection *c, struct echo *echo);

#endif
