/*
 * carrier: sockets under way from a process to its successor, in the queue of
 * a socket (unix(7), SCM_RIGHTS).
 *
 * The service manager takes seconds to store thousands of descriptors, one by
 * one, and needs a moment only to store one that holds thousands.  A message
 * is the number of its first socket, and up to 253 sockets.
 *
 * Main thread only.
 */
#ifndef ECHOD_CARRIER_H
#define ECHOD_CARRIER_H

#include <stddef.h>
#include <stdint.h>

/*
 * Makes a carrier of the first of n sockets, as many as its queue takes, which
 * is said in *packed.  The sockets are only copied.  Numbers begin at `first`.
 * Returns the carrier, the caller's to close, or -errno.
 */
int carrier_pack(const int *fds, size_t n, uint32_t first, size_t *packed);

/*
 * Takes everything out of a carrier, which may be anyone's work: calls taken()
 * for each descriptor with its number; the descriptor is then taken()'s.
 */
void carrier_unpack(int carrier, void (*taken)(void *context, uint32_t number, int fd),
		    void *context);

#endif
