/*
 * descriptors: how many the process may have.
 *
 * Main thread, before the others start.
 */
#ifndef ECHOD_DESCRIPTORS_H
#define ECHOD_DESCRIPTORS_H

#include <stdint.h>

/*
 * Opens /dev/null for those of 0, 1 and 2 that are closed, so that no socket
 * becomes the place where messages are written.  A standard output that was
 * closed cannot be written to then either.  0 or -errno.
 */
int descriptors_fill_standard(void);

/*
 * Raises the soft limit to the hard one, though to no more than wanted: with
 * RLIM_INFINITY everything that is sized by the limit would explode.  Returns
 * the soft limit in force.
 */
uint32_t descriptors_raise(uint32_t wanted);

#endif
