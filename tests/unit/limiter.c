/* SPDX-License-Identifier: MIT */
#include "reactor/limiter.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/counters.h"
#include "helper.h"

#define SECOND INT64_C(1000000000)
#define FULL (REFUSED_MAX_CONNECTIONS + 1)
#define FULL_SOURCE (REFUSED_MAX_CONNECTIONS_PER_SOURCE + 1)
#define TOO_FAST (REFUSED_CONNECTION_RATE_PER_SOURCE + 1)

static struct limiter limiter;
static int64_t now = 1000 * SECOND;

static void begin(void)
{
	cr_assert_eq(limiter_init(&limiter, 1000), 0);
}

static void end(void)
{
	limiter_deinit(&limiter);
}

TestSuite(limiter, .init = begin, .fini = end, .timeout = HELPER_TIMEOUT);

static int admit_as(struct address peer, struct source **source)
{
	return limiter_admit(&limiter, &peer, now, source);
}

/* An IPv4 source for each number. */
static struct address peer_of(uint32_t number)
{
	struct address peer = { .size = sizeof(peer.v4) };

	peer.v4.sin_family = AF_INET;
	peer.v4.sin_addr.s_addr = htonl(0x0a000000 + number);
	peer.v4.sin_port = htons((uint16_t)number);
	return peer;
}

/* A peer at this address. */
static struct address peer_at(const char *host)
{
	const char *zone = strchr(host, '%');
	char text[ADDRESS_TEXT];
	struct address peer;

	snprintf(text, sizeof(text), strchr(host, ':') ? "[%s]:1" : "%s:1", host);
	peer = helper_address(text);
	if (zone) /* as accept(2) gives it, whether or not this machine has the interface */
		peer.v6.sin6_scope_id = (uint32_t)strtoul(zone + 1, NULL, 10);
	return peer;
}

/* The answer for one more connection of this address. */
static int admit(const char *host, struct source **source)
{
	return admit_as(peer_at(host), source);
}

static void check(const char *host, int expected)
{
	struct source *source;
	int r = admit(host, &source);

	cr_expect_eq(r, expected, "%s: %d, not %d", host, r, expected);
}

/* So many are admitted, and the next is refused for this reason. */
static void check_exactly(const char *host, int n, int refusal)
{
	for (int i = 0; i < n; i++)
		check(host, 0);
	check(host, refusal);
}

/* Without settings all are admitted, and no source is kept. */
TEST(limiter, no_limits)
{
	struct source *source = (struct source *)&limiter;

	for (int i = 0; i < 10000; i++)
		cr_assert_eq(admit("192.0.2.1", &source), 0);
	cr_assert_null(source);
	cr_assert_null(limiter.sources);
	for (int i = 0; i < 10000; i++)
		limiter_release(&limiter, NULL);
	cr_assert_eq(atomic_load(&limiter.open), 0);
}

/* A place in the limit by source becomes free for that source only. */
TEST(limiter, per_source)
{
	struct source *first, *second, *refused = (struct source *)&limiter;

	limiter.settings.per_source = 3;
	cr_assert_eq(admit("192.0.2.1", &first), 0);
	cr_assert_eq(admit("192.0.2.2", &second), 0);
	cr_assert_neq(first, second);
	check_exactly("192.0.2.1", 2, FULL_SOURCE);
	check_exactly("192.0.2.2", 2, FULL_SOURCE);
	limiter_release(&limiter, first);
	check_exactly("192.0.2.1", 1, FULL_SOURCE);
	cr_assert_eq(admit("192.0.2.2", &refused), FULL_SOURCE);
	cr_assert_null(refused, "what is refused has nothing to give back");
}

/* A source is an IPv4 address, however it is written, or an IPv6 /64. */
TEST(limiter, what_a_source_is)
{
	static const struct {
		const char *one, *other;
		bool same;
	} pairs[] = {
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "192.0.2.1", "192.0.3.1", false },
		{ "192.0.2.1", "::ffff:192.0.2.1", true },
		{ "::ffff:192.0.2.1", "::ffff:192.0.2.2", false },
		{ "2001:db8:1:2::1", "2001:db8:1:2::2", true },
		{ "2001:db8:1:2::", "2001:db8:1:2:ffff:ffff:ffff:ffff", true },
		{ "2001:db8:1:2::1", "2001:db8:1:3::1", false },
		{ "2001:db8:1:2::1", "2001:db9:1:2::1", false },
		{ "::1", "::2", true },
		{ "::1", "0.0.0.1", false },
		{ "::", "0.0.0.0", false },
		{ "::ffff:0:0", "0.0.0.0", true },
		{ "fe80::1%1", "fe80::1%1", true },
		{ "fe80::1%1", "fe80::2%1", false },
		{ "fe80::1%1", "fe80::1%2", false },
		{ "fe80::1%1", "fe80::1%65537", false },
	};
	struct source *source;

	limiter.settings.per_source = 1;
	for (size_t i = 0; i < COUNT(pairs); i++) {
		struct address other = peer_at(pairs[i].other);

		check(pairs[i].one, 0);
		other.v4.sin_port = htons(2); /* each connection has another port */
		cr_expect_eq(admit_as(other, &source), pairs[i].same ? FULL_SOURCE : 0, "%s and %s",
			     pairs[i].one, pairs[i].other);
		end();
		cr_assert_eq(limiter_init(&limiter, 1000), 0);
		limiter.settings.per_source = 1;
	}
}

/* Where loopback is exempt, it is from the limit of open connections only. */
TEST(limiter, loopback_is_exempt)
{
	static const char *const loopback[] = { "127.0.0.1", "127.255.255.254", "::1",
						"::ffff:127.0.0.1" };
	static const char *const others[] = { "126.255.255.255", "::ffff:128.0.0.1", "::2",
					      "fe80::1%1", "7f00::" };
	struct source *source = (struct source *)&limiter;

	limiter.settings.per_source = 1;
	limiter.settings.exempts_loopback = true;
	for (size_t i = 0; i < COUNT(loopback); i++)
		for (int k = 0; k < 3; k++) {
			cr_expect_eq(admit(loopback[i], &source), 0, "%s", loopback[i]);
			cr_expect_null(source);
		}
	for (size_t i = 0; i < COUNT(others); i++)
		check_exactly(others[i], 1, FULL_SOURCE);
	limiter.settings.rate = 1;
	limiter.settings.burst = 2;
	check_exactly("127.0.0.1", 2, TOO_FAST);
}

/* The burst at once, then one for each interval, neither sooner nor more. */
TEST(limiter, rate)
{
	limiter.settings.rate = 10;
	limiter.settings.burst = 5;
	check_exactly("192.0.2.1", 5, TOO_FAST);
	for (int i = 0; i < 100; i++) {
		now += SECOND / 10 - 1;
		check("192.0.2.1", TOO_FAST);
		now += 1;
		check_exactly("192.0.2.1", 1, TOO_FAST);
	}
	now += 3600 * SECOND; /* never more than the burst */
	check_exactly("192.0.2.1", 5, TOO_FAST);
}

/* The bounds of the settings. */
TEST(limiter, extreme_rates)
{
	limiter.settings.rate = 1000000;
	limiter.settings.burst = 1;
	check_exactly("192.0.2.1", 1, TOO_FAST);
	now += 1000;
	check_exactly("192.0.2.1", 1, TOO_FAST);
	limiter.settings.rate = 1;
	limiter.settings.burst = 1000000;
	check_exactly("192.0.2.2", 1000000, TOO_FAST);
	now += SECOND;
	check_exactly("192.0.2.2", 1, TOO_FAST);
}

/* What is refused costs nothing: no token, no place of the source, none of all. */
TEST(limiter, refused_is_free)
{
	struct source *source;

	limiter.settings.per_source = 2;
	limiter.settings.rate = 1;
	limiter.settings.burst = 3;
	cr_assert_eq(admit("192.0.2.1", &source), 0);
	check("192.0.2.1", 0);
	for (int i = 0; i < 1000; i++)
		check("192.0.2.1", FULL_SOURCE);
	limiter_release(&limiter, source);
	check("192.0.2.1", 0); /* with the third token */
	limiter_release(&limiter, source);
	for (int i = 0; i < 1000; i++)
		check("192.0.2.1", TOO_FAST);
	cr_assert_eq(atomic_load(&limiter.open), 1);
	now += SECOND;
	check("192.0.2.1", 0);
}

/* An idle source whose bucket is full again starts anew, remembered or not. */
TEST(limiter, forgetting_changes_nothing)
{
	struct source *source;

	limiter.settings.rate = 1;
	limiter.settings.burst = 2;
	for (uint32_t i = 0; i < 500; i++) {
		for (int k = 0; k < 2; k++) {
			cr_assert_eq(admit_as(peer_of(i), &source), 0);
			limiter_release(&limiter, source);
		}
		cr_assert_eq(admit_as(peer_of(i), &source), TOO_FAST);
	}
	for (uint32_t i = 0; i < 500; i++)
		cr_assert_eq(admit_as(peer_of(i), &source), TOO_FAST, "%u was forgotten", i);
	now += 2 * SECOND;
	for (uint32_t i = 0; i < 500; i++) {
		for (int k = 0; k < 2; k++)
			cr_assert_eq(admit_as(peer_of(i), &source), 0);
		cr_assert_eq(admit_as(peer_of(i), &source), TOO_FAST);
	}
}

/* A limit that is lowered, raised or lifted is in force for the next one. */
TEST(limiter, settings_change)
{
	struct source *source;

	limiter.settings.max_connections = 2;
	check_exactly("192.0.2.1", 2, FULL);
	limiter.settings.max_connections = 3;
	check_exactly("192.0.2.1", 1, FULL);
	limiter.settings.max_connections = 1;
	check("192.0.2.1", FULL);
	limiter_release(&limiter, NULL);
	check("192.0.2.1", FULL);
	limiter.settings.max_connections = 0;
	check("192.0.2.1", 0);
	limiter.settings.per_source = 1; /* those that came before are not counted for it */
	cr_assert_eq(admit("192.0.2.1", &source), 0);
	check("192.0.2.1", FULL_SOURCE);
	limiter.settings.per_source = 0;
	check("192.0.2.1", 0);
	limiter_release(&limiter, source);
	limiter.settings.per_source = 1;
	check_exactly("192.0.2.1", 1, FULL_SOURCE);
}

/* A source that has used up a burst waits for one interval of the new rate, as of now. */
static void check_rate_change(int rate, int burst)
{
	limiter.settings.rate = 1;
	limiter.settings.burst = 100;
	now += 1000 * SECOND;
	check_exactly("192.0.2.1", 100, TOO_FAST);
	limiter.settings.rate = rate;
	limiter.settings.burst = burst;
	check("192.0.2.1", TOO_FAST);
	now += SECOND / rate;
	check_exactly("192.0.2.1", 1, TOO_FAST);
}

TEST(limiter, rate_changes)
{
	check_rate_change(100, 100);
	check_rate_change(1, 1);
}

#define SOURCES 100000
#define CAPACITY 1000

/* Floods the table with sources that come once; their buckets are not full again. */
static void flood(void)
{
	struct source *source;

	for (uint32_t i = 0; i < SOURCES; i++) {
		cr_assert_eq(admit_as(peer_of(i), &source), 0);
		limiter_release(&limiter, source);
	}
}

/* How many of the flood are remembered: those that are refused. */
static int count_remembered(void)
{
	struct source *source;
	int n = 0;

	limiter.capacity = SOURCES * 2; /* what is asked for must not push out the next */
	for (uint32_t i = 0; i < SOURCES; i++) {
		int r = admit_as(peer_of(i), &source);

		cr_assert(r == 0 || r == TOO_FAST);
		n += r == TOO_FAST;
	}
	return n;
}

/* Of very many sources the table remembers as many as it may, no more, no fewer. */
TEST(limiter, table_is_bounded)
{
	limiter.settings.rate = 1;
	limiter.settings.burst = 1;
	flood();
	cr_assert_eq(count_remembered(), CAPACITY);
}

/* A source with connections is not forgotten, however many come after it. */
TEST(limiter, open_sources_are_kept)
{
	struct source *source, *held[CAPACITY / 2];

	limiter.settings.per_source = 1;
	limiter.settings.rate = 1;
	limiter.settings.burst = 1;
	for (uint32_t i = 0; i < CAPACITY / 2; i++)
		cr_assert_eq(admit_as(peer_of(SOURCES + i), &held[i]), 0);
	flood();
	for (uint32_t i = 0; i < CAPACITY / 2; i++)
		cr_assert_eq(admit_as(peer_of(SOURCES + i), &source), FULL_SOURCE, "%u", i);
	cr_assert_eq(atomic_load(&limiter.open), CAPACITY / 2);
	now += SECOND;
	for (uint32_t i = 0; i < CAPACITY / 2; i++) {
		limiter_release(&limiter, held[i]);
		cr_assert_eq(admit_as(peer_of(SOURCES + i), &source), 0);
		cr_assert_eq(source, held[i]);
	}
}

/* A table in which each source has connections takes no other, until one ends. */
TEST(limiter, table_is_full)
{
	struct source *source, *last = NULL;

	limiter.settings.per_source = 2;
	for (uint32_t i = 0; i < CAPACITY; i++)
		cr_assert_eq(admit_as(peer_of(i), &last), 0);
	cr_assert_eq(admit_as(peer_of(CAPACITY), &source), REFUSED_RESOURCES + 1);
	cr_assert_eq(atomic_load(&limiter.open), CAPACITY);
	cr_assert_eq(admit_as(peer_of(0), &source), 0);
	limiter_release(&limiter, last);
	cr_assert_eq(admit_as(peer_of(CAPACITY), &source), 0);
	cr_assert_eq(admit_as(peer_of(CAPACITY + 1), &source), REFUSED_RESOURCES + 1);
}

/*
 * A reference: what each source has open and when it was admitted, over a few
 * sources and many steps.
 */
#define FEW 5

static struct {
	struct source *open[64];
	int n;
	int64_t tokens; /* in ns; a connection costs an interval */
	int64_t at;
} model[FEW];

static int model_admit(uint32_t which, int total, int64_t interval)
{
	int64_t full = limiter.settings.burst * interval;
	int64_t tokens = model[which].tokens + now - model[which].at;

	if (total >= limiter.settings.max_connections)
		return FULL;
	if (model[which].n >= limiter.settings.per_source)
		return FULL_SOURCE;
	tokens = tokens > full ? full : tokens;
	if (tokens < interval)
		return TOO_FAST;
	model[which].tokens = tokens - interval;
	model[which].at = now;
	return 0;
}

static void live(int max, int per_source, int rate, int burst)
{
	struct helper_random random = { 5 };
	int64_t interval = SECOND / rate;
	int total = 0, answers[REFUSALS] = { 0 };

	limiter.settings.max_connections = max;
	limiter.settings.per_source = per_source;
	limiter.settings.rate = rate;
	limiter.settings.burst = burst;
	memset(model, 0, sizeof(model));
	for (int i = 0; i < FEW; i++)
		model[i].tokens = burst * interval;
	for (int i = 0; i < 100000; i++) {
		uint32_t which = helper_random(&random, FEW);
		struct source *source;

		now += helper_random(&random, SECOND / 100);
		if (helper_random(&random, 2) && model[which].n > 0) {
			limiter_release(&limiter, model[which].open[--model[which].n]);
			total--;
			continue;
		}
		int expected = model_admit(which, total, interval);

		cr_assert_eq(admit_as(peer_of(which), &source), expected, "at step %d", i);
		answers[expected]++;
		if (expected == 0) {
			model[which].open[model[which].n++] = source;
			total++;
		}
	}
	for (int i = 0; i < REFUSALS; i++)
		cr_assert_gt(answers[i], 500, "too few of %d: %d", i, answers[i]);
}

/*
 * Every single answer over a long random life is that of the reference: refusals
 * cost nothing, and one source's rate is no matter of another's.
 */
TEST(limiter, random_life)
{
	live(20, 7, 20, 4);
	end();
	begin();
	live(7, 3, 20, 1);
}

#define MANY 50000

/* What was admitted comes through a pipe. */
static void *release_in_thread(void *out)
{
	struct source *sources[64];
	ssize_t n;

	while ((n = read(*(int *)out, sources, sizeof(sources))) > 0)
		for (size_t i = 0; i < (size_t)n / sizeof(sources[0]); i++)
			limiter_release(&limiter, sources[i]);
	return NULL;
}

/* No release by another thread is lost or counted twice, also while sources come and go. */
TEST(limiter, release_by_another_thread)
{
	struct helper_random random = { 3 };
	pthread_t thread;
	int ends[2], n = 0;

	limiter.capacity = 100;
	limiter.settings.max_connections = 64;
	limiter.settings.per_source = 2;
	cr_assert_eq(pipe(ends), 0);
	cr_assert_eq(pthread_create(&thread, NULL, release_in_thread, &ends[0]), 0);
	while (n < MANY) {
		struct source *source;
		int r = admit_as(peer_of(helper_random(&random, 1000)), &source);

		cr_assert(r == 0 || r == FULL || r == FULL_SOURCE, "%d", r);
		cr_assert_leq(atomic_load(&limiter.open), 64);
		if (r == FULL)
			sched_yield();
		if (r != 0)
			continue;
		cr_assert_eq(write(ends[1], &source, sizeof(source)), sizeof(source));
		n++;
	}
	close(ends[1]);
	pthread_join(thread, NULL);
	cr_assert_eq(atomic_load(&limiter.open), 0);
	check_exactly("10.0.0.1", 2, FULL_SOURCE);
}

static void count(const char *host, struct source **source)
{
	struct address peer = peer_at(host);

	limiter_count(&limiter, &peer, now, source);
}

/* What is counted is so whatever the limits say, makes room when it ends, and takes no token. */
TEST(limiter, count)
{
	struct source *sources[3], *source;

	limiter.settings.max_connections = 2;
	limiter.settings.per_source = 1;
	for (int i = 0; i < 3; i++) {
		count("192.0.2.1", &sources[i]);
		cr_assert(sources[i] && sources[i] == sources[0]);
	}
	check("192.0.2.2", FULL);
	limiter_release(&limiter, sources[0]);
	check("192.0.2.2", FULL);
	limiter_release(&limiter, sources[1]);
	check("192.0.2.1", FULL_SOURCE);
	limiter_release(&limiter, sources[2]);
	limiter.settings = (struct limiter_settings){ .rate = 1, .burst = 2 };
	for (int i = 0; i < 10; i++)
		count("192.0.2.1", &source);
	check_exactly("192.0.2.1", 2, TOO_FAST);
}

/* Without limits by source, or without a peer, it counts for max_connections only. */
TEST(limiter, count_without_source)
{
	struct source *source = (struct source *)&limiter;

	limiter.settings.max_connections = 2;
	count("192.0.2.1", &source);
	cr_assert_null(source);
	limiter.settings.per_source = 1;
	source = (struct source *)&limiter;
	limiter_count(&limiter, NULL, now, &source);
	cr_assert(!source && !limiter.sources);
	check("192.0.2.1", FULL);
}
