/* SPDX-License-Identifier: MIT */
/*
 * wire: a connection to an echo service, and the account of what went over it:
 * how much was sent, how much came back, whether it was the same, and how it
 * ended.
 */
#ifndef ECHOC_WIRE_H
#define ECHOC_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "echoc/ring.h"

enum wire_end {
	WIRE_OPEN,     /* it has not ended */
	WIRE_FINISHED, /* the server's FIN after ours */
	WIRE_CLOSED,   /* the server's FIN before ours */
	WIRE_BROKEN,   /* an error of the connection */
	WIRE_SILENT,   /* nothing came any more, no FIN either */
	WIRE_DIFFERS,  /* a byte that was not sent, or not there */
	WIRE_STOPPED,  /* by the user */
	WIRE_FAILED,   /* an error of ours */
};

struct wire {
	int fd;
	bool verify, half_closed;
	uint64_t sent, received;
	enum wire_end end;
	int error; /* an errno that belongs to the end */

	struct ring in_flight; /* with verify: sent, and not yet back */
	uint64_t differs_at;   /* WIRE_DIFFERS: there, */
	int expected, found;   /* this (-1: nothing), and that */
};

/* Owns the non-blocking socket from now on. */
void wire_init(struct wire *wire, int fd, bool verify);
void wire_deinit(struct wire *wire);

/* How many bytes may be sent before some must have come back. */
size_t wire_room(const struct wire *wire);

/*
 * Sends up to wire_room() bytes; returns how many went.  After an error there
 * is nothing more to send, but perhaps to receive: half_closed is set, and
 * wire_receive() will end it.
 */
size_t wire_send(struct wire *wire, const void *data, size_t n);

/* Returns how many bytes have come, which also may have ended it; 0: none. */
size_t wire_receive(struct wire *wire, void *buffer, size_t size);

/* Sends FIN. */
void wire_half_close(struct wire *wire);

/* Ends it, unless it has ended before.  The socket stays open. */
void wire_end(struct wire *wire, enum wire_end end, int error);

/* The exit status of an ended wire. */
int wire_status(const struct wire *wire);

/* Writes what happened, a part of a sentence, and returns buffer. */
#define WIRE_TEXT 256
char *wire_text(const struct wire *wire, char buffer[static WIRE_TEXT]);

#endif
