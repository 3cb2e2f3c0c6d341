/* SPDX-License-Identifier: MIT */
/*
 * handover: stores the connections, and what is known of them, for the next
 * process; see takeover.h.
 *
 * This folder is a restart that drops no connection.  handover stops the
 * threads and stores; takeover restores in the next process; state is the file
 * that both know, fdpass carries the sockets; rescue hands over when a thread is
 * stuck.  What survives of a connection, it saves and restores itself, see
 * echo/connection.h.  handover runs in main or in the thread of rescue.h,
 * takeover in main before there is any other.  The folder includes what stands
 * below it: reactor, listen, echo, systemd and base.
 */
#ifndef ECHOD_HANDOVER_H
#define ECHOD_HANDOVER_H

#include "reactor/reactor.h"

/*
 * Ends all threads as reactor_freeze() does, and stores the connections of
 * those that halt.  The others, and what cannot be carried, end with a reset
 * when the process does.  Pending bytes are freed.  Logs what it does.
 *
 * Returns the number of threads that are stuck, as reactor_freeze().
 */
unsigned handover_run(struct reactor *r);

#endif
