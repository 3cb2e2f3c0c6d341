/* SPDX-License-Identifier: MIT */
#include "conf/option.h"

#include <confuse.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define YEAR 31536000
#define MEBI (1 << 20)

/* Longer names are not looked at for what was meant. */
#define NAME_MAX_SIZE 40

enum { LIVE, FIXED }; /* a reload changes it, or only a restart */

/* clang-format off */
#define SCALAR(name, kind, fixed, initial, min, max) \
	{ #name, offsetof(struct conf, name), OPTION_##kind, fixed, initial, min, max }

const struct conf_option option_table[OPTION_COUNT] = {
	{ "listen", 0, OPTION_ADDRESSES, LIVE, "{\"0.0.0.0:7\", \"[::]:7\"}", 1, CONF_LISTEN_MAX },
	SCALAR(workers, NUMBER, FIXED, "0", 0, 256),
	SCALAR(backlog, NUMBER, LIVE, "4096", 1, 65535),
	SCALAR(max_connections, NUMBER, LIVE, "0", 0, 16777216),
	SCALAR(max_connections_per_source, SHARE, LIVE, "25%", 0, 16777216),
	SCALAR(connection_rate_per_source, NUMBER, LIVE, "0", 0, 1000000),
	SCALAR(connection_burst_per_source, NUMBER, LIVE, "100", 1, 1000000),
	SCALAR(idle_timeout, TIME, LIVE, "10m", 0, YEAR),
	SCALAR(stall_timeout, TIME, LIVE, "1m", 0, YEAR),
	SCALAR(shutdown_timeout, TIME, LIVE, "8s", 0, 3600),
	SCALAR(buffer_size, SIZE, FIXED, "256K", 4096, 16 * MEBI),
	SCALAR(pending_memory, SIZE, LIVE, "64M", 0, INT64_C(1048576) * MEBI),
	SCALAR(receive_buffer, SIZE, FIXED, "0", 0, 1024 * MEBI - 1),
	SCALAR(send_buffer, SIZE, FIXED, "0", 0, 1024 * MEBI - 1),
	SCALAR(tcp_nodelay, BOOLEAN, LIVE, "true", 0, 0),
	SCALAR(tcp_keepalive, TIME, LIVE, "0", 0, 32767),
	SCALAR(hand_over, BOOLEAN, LIVE, "true", 0, 0),
	SCALAR(system_call_filter, BOOLEAN, FIXED, "true", 0, 0),
	SCALAR(log_level, LEVEL, LIVE, "info", 0, 0),
};
/* clang-format on */

const struct conf_option *option_find(const char *name, size_t size)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (strlen(option_table[i].name) == size &&
		    memcmp(option_table[i].name, name, size) == 0)
			return &option_table[i];
	return NULL;
}

static char folded(char c)
{
	return c == '-' ? '_' : (char)tolower((unsigned char)c);
}

/* The least number of bytes that are to be changed, put in or left out (Levenshtein). */
static unsigned distance(const char *a, size_t n, const char *b)
{
	unsigned row[NAME_MAX_SIZE + 1];

	for (unsigned i = 0; i <= n; i++)
		row[i] = i;
	for (; *b; b++) {
		unsigned diagonal = row[0]++;

		for (size_t i = 1; i <= n; i++) {
			unsigned other = diagonal + (folded(a[i - 1]) != *b);

			diagonal = row[i];
			row[i] = 1 + (row[i] < row[i - 1] ? row[i] : row[i - 1]);
			if (other < row[i])
				row[i] = other;
		}
	}
	return row[n];
}

const char *option_nearest(const char *name, size_t size)
{
	unsigned least = 2 + (unsigned)size / 6;
	const char *found = NULL;

	for (size_t i = 0; i < OPTION_COUNT && size <= NAME_MAX_SIZE; i++) {
		unsigned d = distance(name, size, option_table[i].name);

		if (d < least) {
			least = d;
			found = option_table[i].name;
		}
	}
	return found;
}

static int parse_level(const char *text, int64_t *value)
{
	for (int i = 0; i <= LOG_LEVEL_DEBUG; i++)
		if (log_level_names[i] && strcmp(log_level_names[i], text) == 0) {
			*value = i;
			return 0;
		}
	return -EINVAL;
}

/* The kinds that are quantities: how they are written, and what a message says of them. */
static const struct {
	enum quantity quantity;
	const char *noun, *examples;
} quantities[] = {
	[OPTION_NUMBER] = { QUANTITY_NUMBER, "number", "" },
	[OPTION_TIME] = { QUANTITY_TIME, "time", ", such as 45 or 10m" },
	[OPTION_SIZE] = { QUANTITY_SIZE, "size", ", such as 65536 or 64K" },
	[OPTION_SHARE] = { QUANTITY_NUMBER, "share", ", such as 500, or from 1% to 100%" },
};

int option_parse(const struct conf_option *o, const char *text, int64_t *value)
{
	if (o->kind == OPTION_BOOLEAN) {
		*value = cfg_parse_boolean(text);
		return *value < 0 ? -EINVAL : 0;
	}
	if (o->kind == OPTION_LEVEL)
		return parse_level(text, value);
	if (o->kind == OPTION_SHARE && quantity_parse(QUANTITY_PERCENTAGE, text, value) == 0) {
		*value = -*value;
		return 0;
	}
	if (quantity_parse(quantities[o->kind].quantity, text, value) < 0)
		return -EINVAL;
	return *value < o->min || *value > o->max ? -EINVAL : 0;
}

void option_allowed(const struct conf_option *o, char *text, size_t size)
{
	char min[QUANTITY_TEXT], max[QUANTITY_TEXT];

	if (o->kind == OPTION_BOOLEAN)
		snprintf(text, size, "only true or false");
	else if (o->kind == OPTION_LEVEL)
		snprintf(text, size, "only error, warning, info or debug");
	else
		snprintf(text, size, "only a %s from %s to %s%s", quantities[o->kind].noun,
			 option_format(o, o->min, min), option_format(o, o->max, max),
			 quantities[o->kind].examples);
}

const char *option_format(const struct conf_option *o, int64_t value,
			  char buffer[static QUANTITY_TEXT])
{
	if (o->kind == OPTION_BOOLEAN)
		return value ? "true" : "false";
	if (o->kind == OPTION_LEVEL)
		return log_level_names[value];
	if (value < 0)
		return quantity_format(QUANTITY_PERCENTAGE, -value, buffer);
	return quantity_format(quantities[o->kind].quantity, value, buffer);
}

int64_t option_get(const struct conf_option *o, const struct conf *conf)
{
	return *(const int64_t *)((const char *)conf + o->offset);
}

void option_set(const struct conf_option *o, struct conf *conf, int64_t value)
{
	*(int64_t *)((char *)conf + o->offset) = value;
}
