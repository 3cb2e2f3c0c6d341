/* SPDX-License-Identifier: MIT */
/*
 * screen: shows a person at a terminal what came from the network.
 *
 * The server must not control the terminal: all but printable
 * characters, newline and tab is shown as \xNN, byte by byte.  What is
 * printable, the locale says (LC_CTYPE).
 */
#ifndef ECHOC_SCREEN_H
#define ECHOC_SCREEN_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct screen {
	FILE *out;
	bool line_begun; /* the cursor is not in the first column */
	size_t n_held;	 /* the beginning of a character whose rest is to come */
	char held[MB_LEN_MAX];
};

/* The cursor is in the first column. */
void screen_init(struct screen *screen, FILE *out);

/* Shows them at once, but for the beginning of a character. */
void screen_show(struct screen *screen, const char *data, size_t n);

/* Shows what is held back, and goes to a new line unless one is there. */
void screen_new_line(struct screen *screen);

#endif
