#include "option.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "conf.h"
#include "helper.h"
#include "log.h"

TestSuite(option, .timeout = HELPER_TIMEOUT);

static bool is_scalar(const struct option *o)
{
	return o->kind != OPTION_ADDRESSES;
}

static int parse_integer(const struct option *o, int64_t value)
{
	char text[24];
	int64_t ignored;

	snprintf(text, sizeof(text), "%" PRId64, value);
	return option_parse(o, text, &ignored);
}

static void check_parse(const char *name, const char *text, int64_t expected)
{
	int64_t value;

	cr_expect_eq(option_parse(option_find(name), text, &value), 0, "%s = \"%s\"", name, text);
	cr_expect_eq(value, expected, "%s = \"%s\" gives %" PRId64, name, text, value);
}

static void check_refusal(const char *name, const char *text)
{
	int64_t value;

	cr_expect_eq(option_parse(option_find(name), text, &value), -EINVAL,
		     "%s = \"%s\" should be refused", name, text);
}

/* Each name stands once in the table, and is found where it stands. */
TEST(option, names_are_unique)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		cr_assert_neq(option_table[i].name[0], '\0');
		cr_expect_eq(option_find(option_table[i].name), &option_table[i], "%s",
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

	option_set(option_find("workers"), &conf, 1);
	option_set(option_find("pending_memory"), &conf, 2);
	option_set(option_find("log_level"), &conf, 3);
	cr_assert_eq(conf.workers, 1);
	cr_assert_eq(conf.pending_memory, 2);
	cr_assert_eq(conf.log_level, 3);
}

/* The default of each row is allowed by the row itself, and printed as it stands there. */
TEST(option, initial_round_trip)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *o = &option_table[i];
		char buffer[24];
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
		const struct option *o = &option_table[i];

		if (o->kind != OPTION_NUMBER)
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
		cr_expect_leq(option_find(ints[i])->max, INT_MAX, "%s", ints[i]);
	cr_expect_leq(option_find("connection_rate_per_source")->max, 1000000000,
		      "an interval of 0 ns would be no limit");
	cr_expect_lt(option_find("idle_timeout")->max, INT64_MAX / 1000);
	cr_expect_lt(option_find("stall_timeout")->max, INT64_MAX / 1000);
	cr_expect_gt(option_find("buffer_size")->min, 0);
	cr_expect_eq(option_find("listen")->max, CONF_LISTEN_MAX);
}

/* A number is all of the text, decimal, and never cut by an overflow. */
TEST(option, numbers)
{
	static const char *const refused[] = { "",
					       "-",
					       "+",
					       " ",
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
	check_parse("workers", "-0", 0);
	check_parse("pending_memory", "1099511627776", 1099511627776);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		check_refusal("workers", refused[i]);
}

/*
 * Space and plus before a number are taken as strtol(3) takes them.  Only a
 * quoted value can have them, and nobody reads " 1" as anything but 1.
 */
TEST(option, space_and_plus_before_a_number)
{
	check_parse("workers", " 1", 1);
	check_parse("workers", "+1", 1);
	check_parse("workers", "\t+1", 1);
}

/* A boolean has the words of libconfuse, in any case, and no numbers. */
TEST(option, booleans)
{
	static const char *const refused[] = { "", "0", "1", "2", "t", "truex", "maybe", " true" };
	char buffer[24];

	check_parse("tcp_nodelay", "true", 1);
	check_parse("tcp_nodelay", "on", 1);
	check_parse("tcp_nodelay", "YES", 1);
	check_parse("tcp_nodelay", "false", 0);
	check_parse("tcp_nodelay", "off", 0);
	check_parse("tcp_nodelay", "No", 0);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		check_refusal("tcp_nodelay", refused[i]);
	cr_assert_str_eq(option_format(option_find("tcp_nodelay"), 0, buffer), "false");
}

/* A level is one of four words, and each comes back as it was. */
TEST(option, levels)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };
	static const int64_t values[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO,
					  LOG_LEVEL_DEBUG };
	static const char *const refused[] = { "", "3", "errors", "Error", " info", "notice" };
	char buffer[24];

	for (size_t i = 0; i < 4; i++) {
		check_parse("log_level", names[i], values[i]);
		cr_expect_str_eq(option_format(option_find("log_level"), values[i], buffer),
				 names[i]);
	}
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		check_refusal("log_level", refused[i]);
}

/* Numbers of any size come back as they were. */
TEST(option, number_round_trip)
{
	const struct option *o = option_find("pending_memory");
	const int64_t values[] = { 0, 1, 67108864, o->max };
	char buffer[24];
	int64_t value;

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		cr_assert_eq(option_parse(o, option_format(o, values[i], buffer), &value), 0);
		cr_assert_eq(value, values[i]);
	}
	cr_assert_str_eq(option_format(o, INT64_MIN, buffer), "-9223372036854775808");
}

/* What is allowed is said with the row's own bounds, and fits. */
TEST(option, allowed)
{
	char text[80], tiny[8];

	option_allowed(option_find("workers"), text, sizeof(text));
	cr_assert_str_eq(text, "only an integer from 0 to 256");
	option_allowed(option_find("pending_memory"), text, sizeof(text));
	cr_assert_str_eq(text, "only an integer from 0 to 1099511627776");
	option_allowed(option_find("tcp_nodelay"), text, sizeof(text));
	cr_assert_str_eq(text, "only true or false");
	option_allowed(option_find("log_level"), text, sizeof(text));
	cr_assert_str_eq(text, "only error, warning, info or debug");
	option_allowed(option_find("log_level"), tiny, sizeof(tiny));
	cr_assert_str_eq(tiny, "only er");
}
