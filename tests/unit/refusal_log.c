/* SPDX-License-Identifier: MIT */
#include "reactor/refusal_log.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "helper.h"

#define SECOND 1000

static struct refusal_log refusal_log;
static counter totals[REFUSALS];

/* The log is what stderr gets. */
static void begin(void)
{
	unsetenv("JOURNAL_STREAM");
	helper_catch(STDERR_FILENO);
}

TestSuite(refusal_log, .init = begin, .timeout = HELPER_TIMEOUT);

static void check_told(const char *expected)
{
	cr_assert_str_eq(helper_caught(), expected);
}

static void refuse(enum refusal reason, const char *client, int64_t now)
{
	struct address address = helper_address(client);

	counter_increment(&totals[reason]);
	refusal_log_add(&refusal_log, reason, &address, totals, now);
}

/* The first is logged at once, whatever the clock shows; so is one after a quiet interval. */
TEST(refusal_log, first)
{
	cr_assert_eq(refusal_log_due(&refusal_log), INT64_MAX);
	refuse(REFUSED_RESOURCES, "192.0.2.1:1000", 5);
	check_told(
		"echod: warning: refused a connection from 192.0.2.1:1000: resources (1 so far)\n");
	cr_assert_eq(refusal_log_due(&refusal_log), INT64_MAX);
	refuse(REFUSED_RESOURCES, "[2001:db8::1]:2", 5 + 10 * SECOND);
	check_told("echod: warning: refused a connection from [2001:db8::1]:2: resources (2 so "
		   "far)\n");
}

/* What follows is summarised when the interval is over, and once. */
TEST(refusal_log, together)
{
	int64_t now = 1000 * SECOND;

	refuse(REFUSED_MAX_CONNECTIONS, "192.0.2.1:1000", now);
	check_told("echod: warning: refused a connection from 192.0.2.1:1000: "
		   "max_connections (1 so far)\n");
	for (int i = 0; i < 4; i++)
		refuse(REFUSED_MAX_CONNECTIONS, "192.0.2.1:1000", now + SECOND);
	refuse(REFUSED_CONNECTION_RATE_PER_SOURCE, "192.0.2.2:1000", now + SECOND);
	cr_assert_eq(refusal_log_due(&refusal_log), now + 10 * SECOND);
	refusal_log_write(&refusal_log, totals, now + 10 * SECOND - 1);
	check_told("");
	refusal_log_write(&refusal_log, totals, now + 10 * SECOND);
	check_told("echod: warning: refused 5 connections, the last from 192.0.2.2:1000: "
		   "max_connections 4 (5 so far), connection_rate_per_source 1 (1 so far)\n");
	cr_assert_eq(refusal_log_due(&refusal_log), INT64_MAX);
	refusal_log_write(&refusal_log, totals, now + 20 * SECOND);
	check_told("");
}

/* The longest text there can be is whole. */
TEST(refusal_log, many)
{
	refuse(REFUSED_RESOURCES, "192.0.2.1:1000", 1);
	check_told(
		"echod: warning: refused a connection from 192.0.2.1:1000: resources (1 so far)\n");
	refusal_log.last = helper_address("[2001:db8:1111:2222:3333:4444:5555:6666]:65535");
	for (int i = 0; i < REFUSALS; i++) {
		refusal_log.untold[i] = UINT64_MAX / REFUSALS;
		counter_set(&totals[i], UINT64_MAX);
	}
	refusal_log_write(&refusal_log, totals, 1 + 10 * SECOND);
#define N " 4611686018427387903 (18446744073709551615 so far)"
	check_told("echod: warning: refused 18446744073709551612 connections, the last from "
		   "[2001:db8:1111:2222:3333:4444:5555:6666]:65535: max_connections" N
		   ", max_connections_per_source" N ", connection_rate_per_source" N ", resources" N
		   "\n");
}
