/* SPDX-License-Identifier: MIT */
/*
 * option: the one table of what can be configured, see settings.h.
 *
 * Parsing, checking, printing and reloading follow it; a test holds the
 * manual and the sample file against it.  Constant: any thread.
 */
#ifndef ECHOD_OPTION_H
#define ECHOD_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/quantity.h"
#include "conf/settings.h"

/* Times are in seconds, sizes in bytes; quantity.h says how they are written. */
enum option_kind {
	OPTION_ADDRESSES, /* a list; the others are scalars */
	OPTION_NUMBER,
	OPTION_TIME,
	OPTION_SIZE,
	OPTION_SHARE, /* a number, or a percentage, which is kept below 0 */
	OPTION_BOOLEAN,
	OPTION_LEVEL,
};

struct conf_option {
	const char *name;
	size_t offset; /* of an int64_t in struct conf; not for OPTION_ADDRESSES */
	enum option_kind kind;
	bool fixed;	     /* only a restart can change it */
	const char *initial; /* the default, in the file's syntax */
	int64_t min, max;    /* of a quantity, or of how many addresses */
};

#define OPTION_COUNT 19
extern const struct conf_option option_table[OPTION_COUNT];

/* The row of that name, which ends after so many bytes; or NULL. */
const struct conf_option *option_find(const char *name, size_t size);

/* Reads the text of a scalar.  0, or -EINVAL if it is not allowed. */
int option_parse(const struct conf_option *o, const char *text, int64_t *value);

/* Writes what is allowed for a scalar, as the end of an error message. */
void option_allowed(const struct conf_option *o, char *text, size_t size);

/* The text of a scalar's value, as option_parse() reads it; in buffer or static. */
const char *option_format(const struct conf_option *o, int64_t value,
			  char buffer[static QUANTITY_TEXT]);

/* A scalar's place in a configuration. */
int64_t option_get(const struct conf_option *o, const struct conf *conf);
void option_set(const struct conf_option *o, struct conf *conf, int64_t value);

#endif
