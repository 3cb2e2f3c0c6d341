/* SPDX-License-Identifier: MIT */
/*
 * calls: which system calls a thread may make, as rules of seccomp(2), and which end the
 * process.
 *
 * Only a build with libseccomp has them.  Any thread, one at a time: libseccomp has no
 * lock.
 */
#ifndef ECHOD_CALLS_H
#define ECHOD_CALLS_H

#include <stdint.h>

/* Kinds of threads; bits, as a rule can be for both. */
enum calls_role {
	CALLS_OF_CONTROL = 1, /* main and rescue */
	CALLS_OF_IO = 2,      /* input and output: workers and acceptor */
};

/* What happens to a call that no rule names: libseccomp's action. */
uint32_t calls_default(enum calls_role role);

/* Adds a role's rules to a filter (scmp_filter_ctx).  0 or -errno. */
int calls_add(void *filter, enum calls_role role);

#endif
