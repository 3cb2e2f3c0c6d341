#include "conf/option.h"

#include <confuse.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

/* clang-format off */
#define SCALAR(name, kind, fixed, initial, min, max) \
	{ #name, offsetof(struct conf, name), kind, fixed, initial, min, max }
#define NUMBER(name, initial, min, max) SCALAR(name, OPTION_NUMBER, false, initial, min, max)
#define FIXED(name, initial, min, max) SCALAR(name, OPTION_NUMBER, true, initial, min, max)
#define TIME(name, initial, max) SCALAR(name, OPTION_TIME, false, initial, 0, max)
#define SIZE(name, initial, max) SCALAR(name, OPTION_SIZE, false, initial, 0, max)
#define FIXED_SIZE(name, initial, min, max) SCALAR(name, OPTION_SIZE, true, initial, min, max)
#define SHARE(name, initial, max) SCALAR(name, OPTION_SHARE, false, initial, 0, max)
#define BOOLEAN(name, initial) SCALAR(name, OPTION_BOOLEAN, false, initial, 0, 0)
#define FIXED_BOOLEAN(name, initial) SCALAR(name, OPTION_BOOLEAN, true, initial, 0, 0)
#define LEVEL(name, initial) SCALAR(name, OPTION_LEVEL, false, initial, 0, 0)
#define YEAR 31536000
#define MEBI (1 << 20)

const struct option option_table[OPTION_COUNT] = {
	{ "listen", 0, OPTION_ADDRESSES, false, "{\"0.0.0.0:7\", \"[::]:7\"}", 1, CONF_LISTEN_MAX },
	FIXED(workers, "0", 0, 256),
	NUMBER(backlog, "4096", 1, 65535),
	NUMBER(max_connections, "0", 0, 16777216),
	SHARE(max_connections_per_source, "25%", 16777216),
	NUMBER(connection_rate_per_source, "0", 0, 1000000),
	NUMBER(connection_burst_per_source, "100", 1, 1000000),
	TIME(idle_timeout, "10m", YEAR),
	TIME(stall_timeout, "1m", YEAR),
	TIME(shutdown_timeout, "8s", 3600),
	FIXED_SIZE(buffer_size, "256K", 4096, 16 * MEBI),
	SIZE(pending_memory, "64M", INT64_C(1048576) * MEBI),
	FIXED_SIZE(receive_buffer, "0", 0, 1024 * MEBI - 1),
	FIXED_SIZE(send_buffer, "0", 0, 1024 * MEBI - 1),
	BOOLEAN(tcp_nodelay, "true"),
	TIME(tcp_keepalive, "0", 32767),
	BOOLEAN(hand_over, "true"),
	FIXED_BOOLEAN(system_call_filter, "true"),
	LEVEL(log_level, "info"),
};
/* clang-format on */

static const struct {
	const char *name;
	int64_t value;
} levels[] = {
	{ "error", LOG_LEVEL_ERROR },
	{ "warning", LOG_LEVEL_WARNING },
	{ "info", LOG_LEVEL_INFO },
	{ "debug", LOG_LEVEL_DEBUG },
};

#define N_LEVELS (sizeof(levels) / sizeof(levels[0]))

const struct option *option_find(const char *name)
{
	const struct option *o = option_table;

	while (strcmp(o->name, name) != 0)
		o++;
	return o;
}

static int parse_quantity(const struct option *o, const char *text, int64_t *value)
{
	int r;

	if (o->kind == OPTION_SHARE && quantity_parse_percentage(text, value) == 0) {
		*value = -*value;
		return 0;
	}
	if (o->kind == OPTION_TIME)
		r = quantity_parse_time(text, value);
	else if (o->kind == OPTION_SIZE)
		r = quantity_parse_size(text, value);
	else
		r = quantity_parse_number(text, value);
	return r < 0 || *value < o->min || *value > o->max ? -EINVAL : 0;
}

static int parse_level(const char *text, int64_t *value)
{
	for (size_t i = 0; i < N_LEVELS; i++)
		if (strcmp(levels[i].name, text) == 0) {
			*value = levels[i].value;
			return 0;
		}
	return -EINVAL;
}

int option_parse(const struct option *o, const char *text, int64_t *value)
{
	switch (o->kind) {
	case OPTION_BOOLEAN:
		*value = cfg_parse_boolean(text);
		return *value < 0 ? -EINVAL : 0;
	case OPTION_LEVEL:
		return parse_level(text, value);
	default:
		return parse_quantity(o, text, value);
	}
}

static void allowed_quantity(const struct option *o, char *text, size_t size)
{
	const char *what = "number", *example = "";
	char min[QUANTITY_TEXT], max[QUANTITY_TEXT];

	if (o->kind == OPTION_TIME) {
		what = "time";
		example = ", such as 45 or 10m";
	} else if (o->kind == OPTION_SIZE) {
		what = "size";
		example = ", such as 65536 or 64K";
	} else if (o->kind == OPTION_SHARE) {
		what = "share";
		example = ", such as 500, or from 1% to 100%";
	}
	snprintf(text, size, "only a %s from %s to %s%s", what, option_format(o, o->min, min),
		 option_format(o, o->max, max), example);
}

void option_allowed(const struct option *o, char *text, size_t size)
{
	if (o->kind == OPTION_BOOLEAN)
		snprintf(text, size, "only true or false");
	else if (o->kind == OPTION_LEVEL)
		snprintf(text, size, "only error, warning, info or debug");
	else
		allowed_quantity(o, text, size);
}

static const char *level_name(int64_t value)
{
	for (size_t i = 0; i < N_LEVELS; i++)
		if (levels[i].value == value)
			return levels[i].name;
	return "?";
}

const char *option_format(const struct option *o, int64_t value, char buffer[static QUANTITY_TEXT])
{
	switch (o->kind) {
	case OPTION_BOOLEAN:
		return value ? "true" : "false";
	case OPTION_LEVEL:
		return level_name(value);
	case OPTION_TIME:
		return quantity_format_time(value, buffer);
	case OPTION_SIZE:
		return quantity_format_size(value, buffer);
	case OPTION_SHARE:
		return value < 0 ? quantity_format_percentage(-value, buffer) :
				   quantity_format_number(value, buffer);
	default:
		return quantity_format_number(value, buffer);
	}
}

int64_t option_get(const struct option *o, const struct conf *conf)
{
	return *(const int64_t *)((const char *)conf + o->offset);
}

void option_set(const struct option *o, struct conf *conf, int64_t value)
{
	*(int64_t *)((char *)conf + o->offset) = value;
}
