/* SPDX-License-Identifier: MIT */
/*
 * loader: a thread of "echoc load", with its share of the connections.
 *
 * Main prepares the loaders, starts them, and moves the phase on; each loader
 * follows, and ends by itself when it has nothing more to do.
 */
#ifndef ECHOC_LOADER_H
#define ECHOC_LOADER_H

#include <pthread.h>

#include "echoc/links.h"

struct loader {
	struct links links;
	pthread_t thread;
	_Atomic bool has_ended;

	/* the thread's alone */
	unsigned begun;	  /* links that have begun to connect */
	uint64_t planned; /* messages whose time has come, by the rate */
	unsigned tried;	  /* links that had been tried, */
	int64_t expired;  /* ns: when it last looked for what is overdue */
	bool has_pwait2;  /* unless the kernel is older than Linux 5.11 */
};

/* 0 or -errno; loader_deinit() is to be called in either case. */
int loader_init(struct loader *l, struct plan *plan, unsigned number);
void loader_deinit(struct loader *l);

/* 0 or -errno. */
int loader_start(struct loader *l);

/* Waits for the thread. */
void loader_join(struct loader *l);

#endif
