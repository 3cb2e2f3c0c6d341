/* SPDX-License-Identifier: MIT */
/*
 * peer: what the echo programs of the libraries share, so that each file
 * shows only the library.
 *
 *     PROGRAM [WORKERS]
 *
 * Serves on a port of 127.0.0.1 that the kernel chooses, prints the port, and
 * runs until it is killed.  Each worker is a process with a loop and a
 * listening socket of its own (SO_REUSEPORT); one is the default.
 */
#ifndef PEER_H
#define PEER_H

#ifdef __cplusplus
extern "C" {
#endif

#define PEER_BUFFER (64 * 1024)	  /* bytes of one receive, where the library lets us choose */
#define PEER_UNSENT (1024 * 1024) /* bytes that may wait; who has more is not read from */

/* The same for all: non-blocking, SO_REUSEADDR, TCP_NODELAY also for what it accepts. */
int peer_listen(int argc, char *argv[]);

/* Says what failed and ends the program. */
void peer_die(const char *what);

#ifdef __cplusplus
}
#endif

#endif
