/* SPDX-License-Identifier: MIT */
/*
 * results: the output of a load or ping, for people and for programs.
 *
 * Lines of how it goes come once in an interval, the summary at the end; --json,
 * --json-stream and --hlog say in which form (see echoc(1)).  Main thread.
 * Errors of standard output are left to ferror(3).
 */
#ifndef ECHOC_RESULTS_H
#define ECHOC_RESULTS_H

#include <stdio.h>

#include "echoc/run.h"

struct results { /* zeros, but for run, of which results_begin() sets the date */
	struct run run;
	FILE *histogram, *hlog;
	unsigned rows;	     /* of the table that are printed */
	int64_t shown_at;    /* ns of the clock: the end of the last interval */
	struct tally shown;  /* as it was then */
	struct tally change; /* since then */
};

/* Opens files, and says what and when it is.  0; or -1, after saying why. */
int results_begin(struct results *r);

/* While connections are made: how many so far, after so many seconds. */
void results_connecting(struct results *r, const struct tally *tally, double seconds);

/* An interval is over at a time in ns of the clock; so many connections are open. */
void results_interval(struct results *r, const struct tally *tally, int64_t now, unsigned open);

/* Closes the files, where there is nothing to end.  0; or -1, after saying why. */
int results_close(struct results *r);

/* The summary, and files.  Returns the exit status. */
int results_end(struct results *r, const struct tally *tally);

#endif
