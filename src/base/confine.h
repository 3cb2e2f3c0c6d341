/* SPDX-License-Identifier: MIT */
/*
 * confine: restricts each thread to the system calls of its work (seccomp), see calls.h.
 *
 * Each thread installs its filter when it has all that it needs, and before it reads a
 * byte of a client.  A call that violates the filter is not made: it is logged as
 * EVENT_SYSTEM_CALL_FORBIDDEN, and the process ends by SIGSYS.
 *
 * Nothing is confined in a build without libseccomp, for an architecture on which this
 * was never tried, with a sanitizer, or for coverage.
 */
#ifndef ECHOD_CONFINE_H
#define ECHOD_CONFINE_H

#include <stdbool.h>

#include "base/calls.h"

/*
 * Prepares filters if they are wanted.  main, before it starts a thread.  0, or -errno
 * after it has logged that the kernel or a sandbox allows none.
 */
int confine_init(bool wanted);

/*
 * Any thread, for itself, once: allows only the system calls of the role from here on.
 * If that fails it logs why and ends the process.  name must outlive the thread.
 */
void confine_enter(enum calls_role role, const char *name);

#endif
