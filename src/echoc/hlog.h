/* SPDX-License-Identifier: MIT */
/*
 * hlog: HdrHistogram's log: a histogram of ns for each interval, which its tools
 * merge and plot.
 *
 * The format: https://hdrhistogram.github.io/HdrHistogram/, as HistogramLogWriter and
 * encodeIntoCompressedByteBuffer() of version 2 write it.  Errors show in the file's
 * ferror().
 */
#ifndef ECHOC_HLOG_H
#define ECHOC_HLOG_H

#include <stdint.h>
#include <stdio.h>

#include "echoc/histogram.h"

/* The lines before the first interval; when that begins, in ms since 1970. */
void hlog_begin(FILE *out, int64_t epoch_ms);

/* An interval, in seconds since the beginning.  0, or -1 if the histogram cannot be compressed. */
int hlog_add(FILE *out, const struct histogram *h, double start, double length);

#endif
