#include "option.h"

#include <confuse.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

/* clang-format off */
#define SCALAR(name, kind, fixed, initial, min, max) \
	{ #name, offsetof(struct conf, name), kind, fixed, initial, min, max }
#define NUMBER(name, initial, min, max) SCALAR(name, OPTION_NUMBER, false, initial, min, max)
#define FIXED(name, initial, min, max) SCALAR(name, OPTION_NUMBER, true, initial, min, max)
#define BOOLEAN(name, initial) SCALAR(name, OPTION_BOOLEAN, false, initial, 0, 0)
#define FIXED_BOOLEAN(name, initial) SCALAR(name, OPTION_BOOLEAN, true, initial, 0, 0)
#define LEVEL(name, initial) SCALAR(name, OPTION_LEVEL, false, initial, 0, 0)
#define YEAR 31536000

const struct option option_table[OPTION_COUNT] = {
	{ "listen", 0, OPTION_ADDRESSES, false, "{\"0.0.0.0:7\", \"[::]:7\"}", 1, CONF_LISTEN_MAX },
	FIXED(workers, "0", 0, 256),
	NUMBER(backlog, "4096", 1, 65535),
	NUMBER(max_connections, "0", 0, 16777216),
	NUMBER(max_connections_per_source, "0", 0, 16777216),
	NUMBER(connection_rate_per_source, "0", 0, 1000000),
	NUMBER(connection_burst_per_source, "100", 1, 1000000),
	NUMBER(idle_timeout, "600", 0, YEAR),
	NUMBER(stall_timeout, "60", 0, YEAR),
	NUMBER(shutdown_timeout, "10", 0, 3600),
	FIXED(buffer_size, "262144", 4096, 16777216),
	NUMBER(pending_memory, "67108864", 0, 1099511627776),
	FIXED(receive_buffer, "0", 0, 1073741823),
	FIXED(send_buffer, "0", 0, 1073741823),
	BOOLEAN(tcp_nodelay, "true"),
	NUMBER(tcp_keepalive, "0", 0, 32767),
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

static int parse_number(const struct option *o, const char *text, int64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoll(text, &end, 10);
	return end == text || *end || errno || *value < o->min || *value > o->max ? -EINVAL : 0;
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
	case OPTION_NUMBER:
		return parse_number(o, text, value);
	case OPTION_BOOLEAN:
		*value = cfg_parse_boolean(text);
		return *value < 0 ? -EINVAL : 0;
	default:
		return parse_level(text, value);
	}
}

void option_allowed(const struct option *o, char *text, size_t size)
{
	if (o->kind == OPTION_NUMBER)
		snprintf(text, size, "only an integer from %" PRId64 " to %" PRId64, o->min,
			 o->max);
	else if (o->kind == OPTION_BOOLEAN)
		snprintf(text, size, "only true or false");
	else
		snprintf(text, size, "only error, warning, info or debug");
}

static const char *level_name(int64_t value)
{
	for (size_t i = 0; i < N_LEVELS; i++)
		if (levels[i].value == value)
			return levels[i].name;
	return "?";
}

const char *option_format(const struct option *o, int64_t value, char buffer[static 24])
{
	if (o->kind == OPTION_BOOLEAN)
		return value ? "true" : "false";
	if (o->kind == OPTION_LEVEL)
		return level_name(value);
	snprintf(buffer, 24, "%" PRId64, value);
	return buffer;
}

int64_t option_get(const struct option *o, const struct conf *conf)
{
	return *(const int64_t *)((const char *)conf + o->offset);
}

void option_set(const struct option *o, struct conf *conf, int64_t value)
{
	*(int64_t *)((char *)conf + o->offset) = value;
}
