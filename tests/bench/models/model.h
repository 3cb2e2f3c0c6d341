/* SPDX-License-Identifier: MIT */
/*
 * model: what the models share, so that each file shows only how it waits.
 *
 * A model serves on 127.0.0.1 until it is killed.  It prints its port when it
 * has all other descriptors that it needs; see peer.h.  The first refused
 * connection is told on stderr.
 *
 * The echo itself is the same in all models that wait for readiness.  A socket
 * is either read from or has a rest: bytes that its client has not taken yet.
 * While there is a rest nothing is read, so memory is bounded by MODEL_BUFFER
 * for a connection, and TCP holds the client back.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>

#include "../peers/peer.h"

#define MODEL_BUFFER (64 * 1024) /* bytes of one receive */

/* What a socket needs next. */
enum model_want {
	MODEL_MORE,  /* another turn: the kernel has not said EAGAIN */
	MODEL_READ,  /* to be readable */
	MODEL_WRITE, /* to be writable: it has a rest */
	MODEL_END,   /* to be closed: all is echoed and the client has ended, or an error */
};

/* Tells why connections are refused, once. */
void model_complain(const char *why);

/* A listening socket, with flags as of socket(2). */
int model_listen(int flags);

/* How many descriptors this process may have: one above the largest. */
size_t model_descriptors(void);

/*
 * A new connection, with flags as of accept4(2), or -1 if none waits.
 *
 * Without a free descriptor accept4() fails, the connection goes on waiting,
 * and a loop would spin.  So one descriptor is held in reserve, by which such
 * connections are accepted and closed.
 */
int model_accept(int listener, int flags);

/* One receive and its echo, or, if there is a rest, the sending of it. */
enum model_want model_turn(int fd);

/* The two halves of that: receives, all of it becomes the rest; sends the rest. */
enum model_want model_receive(int fd);
enum model_want model_send(int fd);

/* Closes the socket and forgets its rest. */
void model_close(int fd);

#endif
