/* SPDX-License-Identifier: MIT */
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

/* Each name stands once in the table, and is found where it stands. */
TEST(option, names_are_unique)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		cr_assert_neq(option_table[i].name[0], '\0');
		cr_expect_eq(find(option_table[i].name), &option_table[i], "%s",
			     option_table[i].name);
	}
}

/* Each scalar has a place of its own within struct conf. */
TEST(option, places_do_not_overlap)
{
	static struct conf conf;

	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (is_scalar(&option_table[i])) {
			cr_assert_leq(option_table[i].offset + sizeof(int64_t), sizeof(conf));
			option_set(&option_table[i], &conf, 1000 + (int64_t)i);
		}
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (is_scalar(&option_table[i]))
			cr_expect_eq(option_get(&option_table[i], &conf), 1000 + (int64_t)i, "%s",
				     option_table[i].name);
	cr_assert_eq(conf.n_listen, 0);
}

/* A name in the table is the name of its field. */
TEST(option, places_are_the_named_ones)
{
	static struct conf conf;

	option_set(find("workers"), &conf, 1);
	option_set(find("pending_memory"), &conf, 2);
	option_set(find("log_level"), &conf, 3);
	cr_assert_eq(conf.workers, 1);
	cr_assert_eq(conf.pending_memory, 2);
	cr_assert_eq(conf.log_level, 3);
}

/* The default of each row is allowed by the row itself, and printed as it stands there. */
TEST(option, initial_round_trip)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct conf_option *o = &option_table[i];
		char buffer[QUANTITY_TEXT];
		int64_t value;

		if (!is_scalar(o))
			continue;
		cr_assert_eq(option_parse(o, o->initial, &value), 0, "%s", o->name);
		cr_expect_str_eq(option_format(o, value, buffer), o->initial, "%s", o->name);
	}
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

	for (size_t i = 0; i < sizeof(ints) / sizeof(ints[0]); i++)
		cr_expect_leq(find(ints[i])->max, INT_MAX, "%s", ints[i]);
	cr_expect_leq(find("connection_rate_per_source")->max, 1000000000,
		      "an interval of 0 ns would be no limit");
	cr_expect_lt(find("idle_timeout")->max, INT64_MAX / 1000);
	cr_expect_lt(find("stall_timeout")->max, INT64_MAX / 1000);
	cr_expect_gt(find("buffer_size")->min, 0);
	cr_expect_eq(find("listen")->max, CONF_LISTEN_MAX);
}

/* A stop ends before those who wait for ten seconds, as docker stop does, kill. */
TEST(option, stop_is_short)
{
	const struct conf_option *o = find("shutdown_timeout");
	int64_t seconds;

	cr_assert_eq(option_parse(o, o->initial, &seconds), 0);
	cr_expect_leq(seconds, 8);
}

/* A number is all of the text, decimal, and never cut by an overflow. */
TEST(option, numbers)
{
	static const char *const refused[] = { "",
					       "-",
					       "+",
					       " ",
					       " 1",
					       "+1",
					       "-0",
					       "x",
					       "1x",
					       "x1",
					       "1 ",
					       "1 2",
					       "1.0",
					       "1,0",
					       "1e1",
					       "0x10",
					       "--1",
					       "+-1",
					       "1k",
					       "1\n",
					       "true",
					       "9223372036854775807",
					       "9223372036854775808",
					       "-9223372036854775809",
					       "18446744073709551616",
					       "18446744073709551617",
					       "4294967297",
					       "99999999999999999999999999999999" };

	check_parse("workers", "0", 0);
	check_parse("workers", "256", 256);
	check_parse("workers", "010", 10); /* not octal */
	check_parse("pending_memory", "1099511627776", 1099511627776);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		check_refusal("workers", refused[i]);
}

/* A share is a number or a percentage, and comes back as it was. */
TEST(option, shares)
{
	static const char *const refused[] = { "",   "%",    "0%",	 "101%",
					       "-1", "-1%",  "1%%",	 "1 %",
					       "x%", "1.5%", "16777217", "99999999999999999999%" };
	const struct conf_option *o = find("max_connections_per_source");
	char buffer[QUANTITY_TEXT];

	check_parse(o->name, "0", 0);
	check_parse(o->name, "16777216", 16777216);
	check_parse(o->name, "1%", -1);
	check_parse(o->name, "100%", -100);
	cr_expect_str_eq(option_format(o, 7, buffer), "7");
	cr_expect_str_eq(option_format(o, -7, buffer), "7%");
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		check_refusal(o->name, refused[i]);
}

/* A boolean has the words of libconfuse, in any case, and no numbers. */
TEST(option, booleans)
{
	static const char *const refused[] = { "", "0", "1", "2", "t", "truex", "maybe", " true" };
	char buffer[QUANTITY_TEXT];

	check_parse("tcp_nodelay", "true", 1);
	check_parse("tcp_nodelay", "on", 1);
	check_parse("tcp_nodelay", "YES", 1);
	check_parse("tcp_nodelay", "false", 0);
	check_parse("tcp_nodelay", "off", 0);
	check_parse("tcp_nodelay", "No", 0);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		check_refusal("tcp_nodelay", refused[i]);
	cr_assert_str_eq(option_format(find("tcp_nodelay"), 0, buffer), "false");
}

/* A level is one of four words, and each comes back as it was. */
TEST(option, levels)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };
	static const int64_t values[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO,
					  LOG_LEVEL_DEBUG };
	static const char *const refused[] = { "", "3", "errors", "Error", " info", "notice" };
	char buffer[QUANTITY_TEXT];

	for (size_t i = 0; i < 4; i++) {
		check_parse("log_level", names[i], values[i]);
		cr_expect_str_eq(option_format(find("log_level"), values[i], buffer), names[i]);
	}
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		check_refusal("log_level", refused[i]);
}

/* Quantities of any size come back as they were, in the largest unit that is exact. */
TEST(option, quantity_round_trip)
{
	static const struct {
		const char *name;
		int64_t value;
		const char *text;
	} cases[] = {
		{ "max_connections", 0, "0" },
		{ "max_connections", 65536, "65536" },
		{ "pending_memory", 0, "0" },
		{ "pending_memory", 1, "1" },
		{ "pending_memory", 1536, "1536" },
		{ "pending_memory", 65536, "64K" },
		{ "pending_memory", 67108864, "64M" },
		{ "pending_memory", INT64_C(3) << 30, "3G" },
		{ "pending_memory", INT64_C(1) << 40, "1T" },
		{ "idle_timeout", 0, "0" },
		{ "idle_timeout", 1, "1s" },
		{ "idle_timeout", 90, "90s" },
		{ "idle_timeout", 600, "10m" },
		{ "idle_timeout", 5400, "90m" },
		{ "idle_timeout", 7200, "2h" },
		{ "idle_timeout", 172800, "2d" },
		{ "idle_timeout", 604800, "1w" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char buffer[QUANTITY_TEXT];

		cr_expect_str_eq(option_format(find(cases[i].name), cases[i].value, buffer),
				 cases[i].text);
		check_parse(cases[i].name, cases[i].text, cases[i].value);
	}
}

/* Units go from the largest to the smallest, each once; those of sizes in either case. */
TEST(option, units)
{
	static const char *const times[] = { "",
					     "s",
					     "1M",
					     "1H",
					     "1ms",
					     "1h30",
					     "1m1h",
					     "1m1m",
					     "1 m",
					     "1.5h",
					     "10min",
					     "-1m",
					     "999999999999999999w",
					     "9223372036854775807s1s" };
	static const char *const sizes[] = { "K",   "1KB",  "1KiB", "1M1K",	 "1 K", "1s",
					     "-1K", "1.5M", "1E",   "16777216T", "K1" };

	check_parse("idle_timeout", "45", 45);
	check_parse("idle_timeout", "1h30m", 5400);
	check_parse("idle_timeout", "1w2d3h4m5s", 788645);
	check_parse("idle_timeout", "0w0s", 0);
	check_parse("idle_timeout", "90s", 90);
	check_parse("pending_memory", "64k", 65536);
	check_parse("pending_memory", "1g", 1 << 30);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		check_refusal("idle_timeout", times[i]);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		check_refusal("pending_memory", sizes[i]);
	check_refusal("workers", "1s");
	check_refusal("max_connections", "1K");
}

/* What is allowed is said with the row's own bounds, and fits. */
TEST(option, allowed)
{
	char text[80], tiny[8];

	option_allowed(find("workers"), text, sizeof(text));
	cr_assert_str_eq(text, "only a number from 0 to 256");
	option_allowed(find("pending_memory"), text, sizeof(text));
	cr_assert_str_eq(text, "only a size from 0 to 1T, such as 65536 or 64K");
	option_allowed(find("shutdown_timeout"), text, sizeof(text));
	cr_assert_str_eq(text, "only a time from 0 to 1h, such as 45 or 10m");
	option_allowed(find("max_connections_per_source"), text, sizeof(text));
	cr_assert_str_eq(text, "only a share from 0 to 16777216, such as 500, or from 1% to 100%");
	option_allowed(find("tcp_nodelay"), text, sizeof(text));
	cr_assert_str_eq(text, "only true or false");
	option_allowed(find("log_level"), text, sizeof(text));
	cr_assert_str_eq(text, "only error, warning, info or debug");
	option_allowed(find("log_level"), tiny, sizeof(tiny));
	cr_assert_str_eq(tiny, "only er");
}
