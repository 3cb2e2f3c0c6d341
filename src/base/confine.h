/*
 * confine: each thread is left the system calls of its own work, see calls.h.
 *
 * Each thread takes a seccomp filter upon itself when it has all that it needs, and
 * before it touches a byte of a client.  A call that ends the process is not made;
 * a record names it, and SIGSYS follows.
 *
 * A build without libseccomp, for an architecture on which this was never tried,
 * with a sanitizer or for coverage confines nobody.
 */
#ifndef ECHOD_CONFINE_H
#define ECHOD_CONFINE_H

#include <stdbool.h>

#include "base/calls.h"

/*
 * main, before it starts a thread: whether threads shall be confined.  0, or -errno
 * and a log line if they shall, and the kernel or a sandbox does not let us.
 */
int confine_init(bool wanted);

/*
 * Any thread, for itself, once: only the system calls of the list from here on.
 * Ends the process, with a record, if that cannot be.  name must outlive the thread.
 */
void confine_enter(enum calls_role role, const char *name);

#endif
