/*
 * problems: what is wrong with a configuration, each in one line of text:
 * where it is, what is wrong, and what is allowed.  Any thread.
 */
#ifndef ECHOD_PROBLEMS_H
#define ECHOD_PROBLEMS_H

#include <stdarg.h>
#include <stdbool.h>

#define PROBLEMS_MAX 20

struct problems {
	unsigned n;
	bool has_more; /* than PROBLEMS_MAX, which one more text says */
	char text[PROBLEMS_MAX + 1][512];
	const char *place; /* where the next ones are: a path, or an override */
	bool is_override;
};

void problems_init(struct problems *p);

/* The next problems are in that file, or in that -o; the text must live until then. */
void problems_in_file(struct problems *p, const char *path);
void problems_in_override(struct problems *p, const char *text);

/* Adds one on a line of the file, from 1, or in all of it if line is 0. */
void problems_add(struct problems *p, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void problems_vadd(struct problems *p, int line, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));

/* Logs a record for each, from that one on. */
void problems_log(const struct problems *p, unsigned first);

#endif
