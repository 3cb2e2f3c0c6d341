/* SPDX-License-Identifier: MIT */
/*
 * thread: starts the threads of the process.
 *
 * Any thread.
 */
#ifndef ECHOD_THREAD_H
#define ECHOD_THREAD_H

#include <pthread.h>

/*
 * As pthread_create(3), with a stack of a size of our own: the limit of the
 * process (RLIMIT_STACK, "ulimit -s") has no influence.  Without a place for its id it is
 * detached.  0 or -errno.
 */
int thread_start(pthread_t *thread, void *(*run)(void *), void *arg);

#endif
