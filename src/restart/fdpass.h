/* SPDX-License-Identifier: MIT */
/*
 * fdpass: sockets on their way from a process to its successor, in the queue
 * of a Unix socket (unix(7), SCM_RIGHTS).  Such a socket is called a carrier.
 *
 * systemd takes seconds to store thousands of descriptors one by one, and a
 * moment to store one carrier that holds thousands.  A message is the number of
 * its first socket, in the machine's byte order, and up to 253 sockets.
 *
 * Any thread; nothing is shared.
 */
#ifndef ECHOD_FDPASS_H
#define ECHOD_FDPASS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Makes a carrier of as many of the n sockets, from the first one on, as its
 * queue takes; their count is in *packed.  The sockets stay the caller's.
 * Numbers begin at `first`.  Returns the carrier, the caller's to close, or
 * -errno.
 */
int fdpass_pack(const int *fds, size_t n, uint32_t first, size_t *packed);

/*
 * Takes everything out of a carrier, which is not trusted: calls taken() for
 * each descriptor with its number.  The descriptor is taken()'s to close.
 */
void fdpass_unpack(int carrier, void (*taken)(void *context, uint32_t number, int fd),
		   void *context);

#endif
