/* SPDX-License-Identifier: MIT */
/*
 * talk: a person at a terminal, or a pipe, talks to an echo service.
 */
#ifndef ECHOC_TALK_H
#define ECHOC_TALK_H

struct options;
struct target;

/* Returns the exit status, after it has said on stderr what went wrong. */
int talk_run(const struct options *options, const struct target *target);

#endif
