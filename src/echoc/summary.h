/* SPDX-License-Identifier: MIT */
/*
 * summary: the verdict and the figures of a load or ping, for people.
 */
#ifndef ECHOC_SUMMARY_H
#define ECHOC_SUMMARY_H

#include "echoc/run.h"

/* On standard output; errors are left to ferror(3). */
void summary_print(const struct run *run, const struct tally *tally);

/* "All 5 messages came back right", or what did not; and the reasons by errno. */
void summary_verdict(const struct run *run, const struct tally *tally);

/* A line on standard error of how a ping goes; and its summary. */
void summary_progress(const struct tally *tally);
void summary_ping(const struct run *run, const struct tally *tally);

/* The times at which connections were lost, if there were any. */
void summary_outages(const struct run *run);

#endif
