/* SPDX-License-Identifier: MIT */
/*
 * tcp: queries and settings of a TCP socket.
 *
 * Any thread.  Nothing here can fail on a TCP socket; other sockets are as if they
 * had no bytes.
 */
#ifndef ECHOD_TCP_H
#define ECHOD_TCP_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes that the kernel has taken from us and the peer's has not acknowledged, or 0; see tcp(7). */
uint32_t tcp_unacknowledged(int fd);

/* Bytes that have arrived and were not received, or 0. */
uint32_t tcp_arrived(int fd);

/* Has close(2) end it with a reset, not with a FIN that would claim the echo to be whole; or not.
 */
void tcp_reset_on_close(int fd, bool reset);

#endif
