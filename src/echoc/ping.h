/* SPDX-License-Identifier: MIT */
/*
 * ping: one connection, one message after the other, and their round trips.
 */
#ifndef ECHOC_PING_H
#define ECHOC_PING_H

struct options;
struct target;

/* Returns the exit status, after it has said on stderr what went wrong. */
int ping_run(const struct options *options, const struct target *target);

#endif
