/* SPDX-License-Identifier: MIT */
/*
 * problems: what is wrong with a configuration, each in one line of text:
 * where it is, what is wrong, and what is allowed.  Any thread.
 */
#ifndef ECHOD_PROBLEMS_H
#define ECHOD_PROBLEMS_H

#include <stdbool.h>

#define PROBLEMS_MAX 20

struct problems {
	unsigned n; /* PROBLEMS_MAX + 1: the last text says that there are more */
	char text[PROBLEMS_MAX + 1][512];
	/* where the next one is */
	const char *place; /* a path, or an override */
	bool is_override;
	int line; /* of the file, from 1; 0: in all of it */
};

void problems_init(struct problems *p);

/* The next problems are in the file of that path, or in that -o; the text must live until then. */
void problems_in(struct problems *p, const char *place, bool is_override);

/* Adds one.  Returns -EINVAL. */
int problems_add(struct problems *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Logs a record for each, from that one on. */
void problems_log(const struct problems *p, unsigned first);

#endif
