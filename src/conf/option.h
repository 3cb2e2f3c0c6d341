/* SPDX-License-Identifier: MIT */
/*
 * option: the values that a configuration consists of, and the one table of them.
 *
 * Parsing, checking, printing and reloading follow it; a test holds the
 * manual and the sample file against it.  Constant: any thread.
 */
#ifndef ECHOD_OPTION_H
#define ECHOD_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/quantity.h"

#define CONF_LISTEN_MAX 64

/* Times are in seconds, sizes in bytes; 0 means "none" or "automatic". */
struct conf {
	bool has_file; /* it was read from a file, which may not be missing again */
	struct address listen[CONF_LISTEN_MAX];
	size_t n_listen;
	int64_t workers;
	int64_t backlog;
	int64_t max_connections;
	int64_t max_connections_per_source; /* below 0: a percentage of max_connections */
	int64_t connection_rate_per_source;
	int64_t connection_burst_per_source;
	int64_t idle_timeout;
	int64_t stall_timeout;
	int64_t shutdown_timeout;
	int64_t buffer_size;
	int64_t pending_memory;
	int64_t receive_buffer;
	int64_t send_buffer;
	int64_t tcp_nodelay;
	int64_t tcp_keepalive;
	int64_t hand_over;
	int64_t system_call_filter;
	int64_t log_level;
};

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

/* The name of the option that was probably meant by a name that is none; or NULL. */
const char *option_nearest(const char *name, size_t size);

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
