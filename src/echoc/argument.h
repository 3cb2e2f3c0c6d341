/* SPDX-License-Identifier: MIT */
/*
 * argument: what is given for an option of echoc's command line.
 *
 * Numbers may end with K, M or G, which are decimal; those of sizes are powers of 1024.
 *
 * All functions return 0, or -EINVAL after a complaint that says which option
 * it is, what was given, and what is allowed.
 */
#ifndef ECHOC_ARGUMENT_H
#define ECHOC_ARGUMENT_H

#include <stddef.h>
#include <stdint.h>

struct argument {
	const char *option; /* as one writes it */
	const char *text;   /* "", which is never allowed, if there is none */
};

/* No more time at this percentile. */
struct objective {
	double percent;
	int64_t time; /* ns */
};

/* Only complains: the format says what is allowed. */
int argument_refuse(const struct argument *argument, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Whole numbers; unsigned ones from 1. */
int argument_number(uint64_t *value, const struct argument *argument, uint64_t min, uint64_t max);
int argument_unsigned(unsigned *value, const struct argument *argument, unsigned max);

/* How many a second, also with a fraction. */
int argument_rate(double *value, const struct argument *argument);

/* Nanoseconds, of seconds, also with a fraction, or a time with units; min is in nanoseconds. */
int argument_time(int64_t *value, const struct argument *argument, uint64_t min);

/* Bytes, or a range of them. */
int argument_sizes(size_t *min, size_t *max, const struct argument *argument);

/* "50,90,99.9": up to max of them, above 0 and below 100, rising. */
int argument_percentiles(double *list, size_t *n, size_t max, const struct argument *argument);

/* "p99.9=5ms" */
int argument_objective(struct objective *value, const struct argument *argument);

#endif
