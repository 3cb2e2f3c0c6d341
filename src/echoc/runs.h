/* SPDX-License-Identifier: MIT */
/*
 * runs: the results of --json and --json-stream, read from a file.
 */
#ifndef ECHOC_RUNS_H
#define ECHOC_RUNS_H

#include <jansson.h>
#include <stddef.h>

#define RUNS_MAX 256

struct runs {
	const char *path;
	size_t n;
	struct {
		json_t *result; /* of the start and the end of a stream, one object */
		json_t *lines;	/* of a stream: its intervals and replies; or NULL */
	} at[RUNS_MAX];
};

/* Reads the runs of a file, one after the other.  0; or -1 after saying what is wrong. */
int runs_read(struct runs *runs, const char *path);

void runs_free(struct runs *runs);

/* A number by its name, in an object of that name if group is not NULL; or NAN. */
double runs_number(const json_t *object, const char *group, const char *name);

#endif
