/* SPDX-License-Identifier: MIT */
/*
 * activation: the descriptors that the service manager passed at the start,
 * see sd_listen_fds(3): listeners of a socket unit, and what a predecessor of
 * this process left in the file descriptor store, see systemd/fdstore.h.
 *
 * None of it is trusted: each descriptor is checked, and closed with a warning
 * if it is not what it should be.  Main thread only.
 */
#ifndef ECHOD_ACTIVATION_H
#define ECHOD_ACTIVATION_H

#include "listen/listener.h"

#define ACTIVATION_CARRIERS 16

struct activation {
	struct listeners passed;	   /* of a socket unit */
	struct listeners stored;	   /* of a predecessor, to be used by address */
	bool refused;			   /* others of it, which notify_barrier() sees closed */
	int state;			   /* its state, or -1 */
	int carriers[ACTIVATION_CARRIERS]; /* its connections, in this order; or -1 */
};

/*
 * To be called before anything else opens a descriptor: a wrong count would
 * claim what the manager did not pass.  Logs nothing yet.
 */
void activation_receive(void);

/*
 * Sorts what was received, all close-on-exec, listeners non-blocking too.  The
 * caller owns all descriptors in *a.  Logs what it closes.
 */
void activation_sort(struct activation *a);

#endif
