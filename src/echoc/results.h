/* SPDX-License-Identifier: MIT */
/*
 * results: a tally for people, and for programs.
 */
#ifndef ECHOC_RESULTS_H
#define ECHOC_RESULTS_H

#include <stdio.h>

#include "echoc/tally.h"

/* What a tally does not know of its run. */
struct results {
	const char *target;   /* "HOST:PORT" */
	unsigned connections; /* asked for */
	double duration;      /* seconds in which messages were offered, */
	double answered;      /* and until the last answer, if that is later */
};

/* The summary of a load.  0, or -1 if it cannot be written. */
int results_print(const struct results *results, const struct tally *tally);

/* One JSON object on standard output, see echoc(1).  0, or -1. */
int results_print_json(const struct results *results, const struct tally *tally);

/* Writes the latencies into out, called path, closes it, and says what went wrong.  0 or -1. */
int results_write_histogram(FILE *out, const char *path, const struct tally *tally);

#endif
