/* SPDX-License-Identifier: MIT */
/*
 * load: many connections, every byte verified, every latency counted.
 */
#ifndef ECHOC_LOAD_H
#define ECHOC_LOAD_H

struct options;
struct target;

/* Returns the exit status, after it has said on stderr what went wrong. */
int load_run(const struct options *options, const struct target *target);

#endif
