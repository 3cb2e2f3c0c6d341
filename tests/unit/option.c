/* SPDX-License-Identifier: MIT */
/*
 * The table of options.  What each text means is in functional/conf.cases, and that what
 * is written is read as the same is checked by fuzz/args.c.
 */
#include "conf/option.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "conf/conf.h"
#include "helper.h"

TestSuite(option, .timeout = HELPER_TIMEOUT);

static const struct conf_option *find(const char *name)
{
	return option_find(name, strlen(name));
}

static bool is_scalar(const struct conf_option *o)
{
	return o->kind != OPTION_ADDRESSES;
}

static int parse_integer(const struct conf_option *o, int64_t value)
{
	char text[24];
	int64_t ignored;

	snprintf(text, sizeof(text), "%" PRId64, value);
	return option_parse(o, text, &ignored);
}

/* Both bounds of a number are inside, and the next ones outside. */
TEST(option, bounds)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct conf_option *o = &option_table[i];

		if (!is_scalar(o) || o->kind == OPTION_BOOLEAN || o->kind == OPTION_LEVEL)
			continue;
		cr_assert_lt(o->min, o->max, "%s", o->name);
		cr_expect_eq(parse_integer(o, o->min), 0, "%s", o->name);
		cr_expect_eq(parse_integer(o, o->max), 0, "%s", o->name);
		cr_expect_eq(parse_integer(o, o->min - 1), -EINVAL, "%s", o->name);
		cr_expect_eq(parse_integer(o, o->max + 1), -EINVAL, "%s", o->name);
	}
}

/* The largest values that the users of a number can take. */
TEST(option, bounds_fit_their_users)
{
	static const char *const ints[] = { "backlog", "receive_buffer", "send_buffer",
					    "tcp_keepalive" };

	for (size_t i = 0; i < COUNT(ints); i++)
		cr_expect_leq(find(ints[i])->max, INT_MAX, "%s", ints[i]);
	cr_expect_leq(find("connection_rate_per_source")->max, 1000000000,
		      "an interval of 0 ns would be no limit");
	cr_expect_lt(find("idle_timeout")->max, INT64_MAX / 1000);
	cr_expect_lt(find("stall_timeout")->max, INT64_MAX / 1000);
	cr_expect_gt(find("buffer_size")->min, 0);
	cr_expect_eq(find("listen")->max, CONF_LISTEN_MAX);
}

/* A stop ends before a caller that waits for ten seconds, as docker stop does, kills. */
TEST(option, stop_is_short)
{
	const struct conf_option *o = find("shutdown_timeout");
	int64_t seconds;

	cr_assert_eq(option_parse(o, o->initial, &seconds), 0);
	cr_expect_leq(seconds, 8);
}

static void check_parse(const char *name, const char *text, int64_t expected)
{
	int64_t value;

	cr_expect_eq(option_parse(find(name), text, &value), 0, "%s = \"%s\"", name, text);
	cr_expect_eq(value, expected, "%s = \"%s\" gives %" PRId64, name, text, value);
}

static void check_refusal(const char *name, const char *text)
{
	int64_t value;

	cr_expect_eq(option_parse(find(name), text, &value), -EINVAL,
		     "%s = \"%s\" should be refused", name, text);
}

/* Numbers whose text a file cannot have, or that an overflow would cut into their range. */
TEST(option, numbers)
{
	static const char *const refused[] = {
		/* no number, or more than one */
		"", "-", "+", " ", " 1", "+1", "-0", "1x", "1 ", "1 2", "1,0", "1\n", "--1", "+-1",
		/* overflows */
		"9223372036854775807", "9223372036854775808", "-9223372036854775809",
		"18446744073709551616", "18446744073709551617", "4294967297",
		"99999999999999999999999999999999"
	};

	check_parse("workers", "010", 10); /* not octal */
	check_parse("max_connections_per_source", "16777216", 16777216);
	check_parse("max_connections_per_source", "100%", -100);
	for (size_t i = 0; i < COUNT(refused); i++)
		check_refusal("workers", refused[i]);
	check_refusal("max_connections_per_source", "99999999999999999999%");
	check_refusal("idle_timeout", "9223372036854775807s1s");
	check_refusal("pending_memory", "16777216T");
}

/* A message that is too long is cut. */
TEST(option, allowed)
{
	char tiny[8];

	option_allowed(find("log_level"), tiny, sizeof(tiny));
	cr_assert_str_eq(tiny, "only er");
}
