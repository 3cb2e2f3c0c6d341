/*
 * descriptors: those of the process, and how many it may have.
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
 * Closes those that were inherited without being meant for us, so that they
 * neither count against the limit nor keep open what others wait for.  To be
 * called when those that were passed on purpose have FD_CLOEXEC.
 */
void descriptors_close_inherited(void);

/*
 * Raises the soft limit to the hard one, though to no more than wanted: with
 * RLIM_INFINITY everything that is sized by the limit would explode.  The
 * sysctl fs.nr_open can allow less, and then lowers the hard limit, too.
 * Returns the soft limit in force.
 */
uint32_t descriptors_raise(uint32_t wanted);

#endif
