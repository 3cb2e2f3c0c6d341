/* SPDX-License-Identifier: MIT */
#include "base/thread.h"

/*
 * Without this, a stack is as large as RLIMIT_STACK: with a very large limit
 * no thread can be created, and with a very small one a thread overflows its
 * stack.  No function here is recursive or has arrays beyond 20 KiB; the rest
 * is for libraries.  Pages that are not used take no memory.
 *
 * The main thread's stack has the size of RLIMIT_STACK, and 64 KiB must suffice: large
 * variables in its functions that call many others are static.
 */
#define STACK_SIZE (256 * 1024)

int thread_start(pthread_t *thread, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t ignored;
	int e = pthread_attr_init(&attr);

	if (e != 0)
		return -e;
	e = pthread_attr_setstacksize(&attr, STACK_SIZE);
	if (e == 0 && !thread)
		e = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (e == 0)
		e = pthread_create(thread ? thread : &ignored, &attr, run, arg);
	pthread_attr_destroy(&attr);
	return -e;
}
