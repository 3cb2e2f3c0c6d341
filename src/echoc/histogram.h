/* SPDX-License-Identifier: MIT */
/*
 * histogram: how often each time was measured, in fixed memory.
 *
 * Log-linear: nanoseconds below 2,048 are exact; above, each power of two is
 * divided into 1,024 equal buckets, so a value is known to 0.1 %.  Of what is
 * longer than 18 minutes only the longest is known.
 *
 * One thread records, any may read at any time.
 */
#ifndef ECHOC_HISTOGRAM_H
#define ECHOC_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#include "base/counters.h"

#define HISTOGRAM_SUB_BITS 10
#define HISTOGRAM_MAX_BITS 40 /* 2^40 ns are 1,100 s */
#define HISTOGRAM_BUCKETS ((HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
	counter counts[HISTOGRAM_BUCKETS];
	counter total;
	_Atomic double sum; /* ns; a counter would overflow, and a double is exact to 104 days */
	counter min, max;
};

/* Counts a time in ns; a negative one as 0. */
void histogram_record(struct histogram *h, int64_t ns);

/* Adds what `from` has to `to`, which no other thread writes. */
void histogram_add(struct histogram *to, const struct histogram *from);

/* Takes away from `h` what it had at an earlier time; min and max are then known to 0.1 %. */
void histogram_subtract(struct histogram *h, const struct histogram *earlier);

/*
 * The value in ns that a share p (0 to 1) of all does not exceed: the upper end
 * of its bucket, though not above the longest; so among those that are beyond the
 * range it is the longest.  0 if nothing was recorded.
 */
uint64_t histogram_quantile(const struct histogram *h, double p);

/* How many are beyond the range. */
uint64_t histogram_beyond(const struct histogram *h);

/* The arithmetic mean in ns, 0 if nothing was recorded. */
double histogram_mean(const struct histogram *h);

/* The standard deviation in ns. */
double histogram_deviation(const struct histogram *h);

/* HdrHistogram's percentile text (".hgrm"), in microseconds.  0 or -errno of out. */
int histogram_print(const struct histogram *h, FILE *out);

#endif
