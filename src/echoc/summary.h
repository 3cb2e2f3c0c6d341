/* SPDX-License-Identifier: MIT */
/*
 * summary: the verdict and the figures of a load or ping, for people.
 */
#ifndef ECHOC_SUMMARY_H
#define ECHOC_SUMMARY_H

#include "echoc/run.h"

/* On standard output; errors are left to ferror(3). */
void summary_print(const struct run *run, const struct tally *tally);

/* A line on standard error of how a ping goes; and its summary. */
void summary_progress(const struct tally *tally);
void summary_ping(const struct run *run, const struct tally *tally);

/* A time of those in a histogram, and a percentile, as text; "-" if it is not known. */
const char *summary_time(const struct histogram *h, double ns);
const char *summary_quantile(const struct histogram *h, double percent);

#endif
