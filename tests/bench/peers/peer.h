/* SPDX-License-Identifier: MIT */
/*
 * peer: what the echo programs share, so that each file shows only the
 * library, or the way to wait.
 *
 *     PROGRAM [WORKERS]
 *
 * Serves on a port of 127.0.0.1 that the kernel chooses, prints the port, and
 * runs until it is killed.  Each worker is a process with a loop and a
 * listening socket of its own (SO_REUSEPORT); one is the default.
 */
#ifndef PEER_H
#define PEER_H

#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PEER_BUFFER (64 * 1024)	  /* bytes of one receive, where the library lets us choose */
#define PEER_UNSENT (1024 * 1024) /* bytes that may wait; with more a client is not read from */

/*
 * The same for all: SO_REUSEADDR, TCP_NODELAY also for what it accepts, and as many descriptors as
 * may be.  flags are those of socket(2).
 */
int peer_listen(int argc, char *argv[], int flags);

/* Says what failed, with errno, and ends the program. */
__attribute__((noreturn)) void peer_die(const char *what);

#ifdef __cplusplus
}
#endif

#endif
