/* SPDX-License-Identifier: MIT */
/*
 * find: the highest rate at which a percentile of the latencies stays within a limit.
 */
#ifndef ECHOC_FIND_H
#define ECHOC_FIND_H

struct options;
struct target;

/* Runs loads and prints a line for each.  Returns the exit status. */
int find_run(const struct options *options, const struct target *target);

#endif
