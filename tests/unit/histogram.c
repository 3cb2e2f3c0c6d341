/* SPDX-License-Identifier: MIT */
#include "echoc/histogram.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "helper.h"

#define MINUTE INT64_C(60000000000)
#define VALUES 100000

static struct histogram h, other;
static uint64_t values[VALUES];

TestSuite(histogram, .timeout = HELPER_TIMEOUT);

static uint64_t random_bits(struct helper_random *random, unsigned bits)
{
	uint64_t v = (uint64_t)helper_random(random, UINT32_MAX) << 32 |
		     helper_random(random, UINT32_MAX);

	return v >> (64 - bits);
}

/* Any magnitude is as probable as any other, up to a minute. */
static uint64_t random_time(struct helper_random *random)
{
	uint64_t v = random_bits(random, 1 + helper_random(random, 36));

	return v < (uint64_t)MINUTE ? v : (uint64_t)MINUTE;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void record_random(uint64_t seed)
{
	struct helper_random random = { .state = seed };

	for (size_t i = 0; i < VALUES; i++) {
		values[i] = random_time(&random);
		histogram_record(&h, (int64_t)values[i]);
	}
	qsort(values, VALUES, sizeof(values[0]), compare);
}

/* Without values everything is 0, and one value is everything. */
TEST(histogram, one)
{
	for (uint64_t value = 0; value <= 123456789; value += 123456789) {
		if (value > 0) {
			histogram_record(&h, (int64_t)value);
			cr_assert(counter_get(&h.max) == value && counter_get(&h.min) == value);
		}
		cr_assert_eq(histogram_mean(&h), (double)value);
		cr_assert_eq(histogram_deviation(&h), 0);
		for (int percent = 0; percent <= 100; percent++)
			cr_assert_eq(histogram_quantile(&h, percent / 100.0), value);
	}
}

/* What is found is never smaller, and known to 0.1 %. */
static void check_near(uint64_t found, uint64_t value)
{
	cr_assert(found >= value && (double)(found - value) <= (double)value * 0.001,
		  "%llu for %llu", (unsigned long long)found, (unsigned long long)value);
}

/* What one value, which is not the largest, is found as. */
static uint64_t find(int64_t value)
{
	memset(&h, 0, sizeof(h));
	histogram_record(&h, value);
	histogram_record(&h, MINUTE + MINUTE / 10); /* the largest is always exact */
	return histogram_quantile(&h, 0.5);
}

/* Small times are exact, a negative one is 0; others are near, also at the edges of buckets. */
TEST(histogram, error)
{
	struct helper_random random = { .state = 42 };

	for (int64_t ns = -5; ns < 2048; ns++)
		cr_assert_eq(find(ns), (uint64_t)(ns < 0 ? 0 : ns));
	for (int i = 0; i < 2000; i++) {
		uint64_t value = random_time(&random);

		check_near(find((int64_t)value), value);
	}
	for (int bits = 1; bits < 36; bits++)
		for (int d = -1; d <= 1; d++) {
			uint64_t value = (UINT64_C(1) << bits) + (uint64_t)d;

			check_near(find((int64_t)value), value);
		}
}

/* Of what is too long for the buckets the maximum is exact, and no quantile is below the minimum.
 */
TEST(histogram, long_ones)
{
	histogram_record(&h, 1000 * MINUTE);
	histogram_record(&h, 2000 * MINUTE);
	cr_assert_eq(histogram_quantile(&h, 0.5), (uint64_t)(2000 * MINUTE));
	histogram_record(&h, 17 * MINUTE);
	cr_assert_eq(histogram_beyond(&h), 2);
	check_near(histogram_quantile(&h, 0.1), (uint64_t)(17 * MINUTE));
}

/* A sum beyond 64 bits of nanoseconds has the right mean; equal times have no deviation. */
TEST(histogram, large_sum)
{
	for (int i = 0; i < 1000; i++)
		histogram_record(&h, 1000000 * MINUTE);
	cr_assert_float_eq(histogram_mean(&h), 1e6 * (double)MINUTE, 1e3);
	cr_assert_float_eq(histogram_deviation(&h), 0, 1e3);
}

/* Quantiles of random values are those of sorting, to 0.1 %. */
TEST(histogram, quantiles)
{
	static const double shares[] = { 0,    0.0001, 0.001, 0.01,  0.1,    0.25,    0.5,
					 0.75, 0.9,    0.99,  0.999, 0.9999, 0.99999, 1 };

	record_random(7);
	for (size_t i = 0; i < COUNT(shares); i++) {
		size_t rank = (size_t)ceil(shares[i] * VALUES);

		check_near(histogram_quantile(&h, shares[i]), values[rank ? rank - 1 : 0]);
	}
	cr_assert_eq(counter_get(&h.min), values[0]);
	cr_assert_eq(counter_get(&h.max), values[VALUES - 1]);
}

/* Of few values each has its share: the quantile is the smallest that is large enough. */
TEST(histogram, few)
{
	static const struct {
		double share;
		uint64_t value;
	} rows[] = { { 0, 10 },	   { 0.25, 10 }, { 0.26, 20 }, { 0.5, 20 },
		     { 0.51, 30 }, { 0.75, 30 }, { 0.99, 40 }, { 1, 40 } };

	for (int i = 1; i <= 4; i++)
		histogram_record(&h, 10 * i);
	for (size_t i = 0; i < COUNT(rows); i++)
		cr_assert_eq(histogram_quantile(&h, rows[i].share), rows[i].value);
}

/* The mean is exact, the deviation to 0.1 %. */
TEST(histogram, moments)
{
	double sum = 0, squares = 0, mean;

	record_random(8);
	for (size_t i = 0; i < VALUES; i++)
		sum += (double)values[i];
	mean = sum / VALUES;
	for (size_t i = 0; i < VALUES; i++)
		squares += ((double)values[i] - mean) * ((double)values[i] - mean);
	cr_assert_float_eq(histogram_mean(&h), mean, mean * 1e-9);
	cr_assert_float_eq(histogram_deviation(&h), sqrt(squares / VALUES), mean * 0.002);
}

/* Two halves added are the whole; to add nothing changes nothing. */
TEST(histogram, add)
{
	static struct histogram parts[2], sum;

	record_random(9);
	for (size_t i = 0; i < VALUES; i++)
		histogram_record(&parts[i % 3 == 0], (int64_t)values[i]);
	histogram_add(&sum, &other);
	cr_assert_eq(counter_get(&sum.total), 0);
	histogram_add(&sum, &parts[0]);
	histogram_add(&sum, &parts[1]);
	histogram_add(&sum, &other);
	cr_assert_eq(memcmp(&sum, &h, sizeof(h)), 0);
}

/* What was there before is taken away, and what came since remains. */
TEST(histogram, subtract)
{
	static struct histogram since;

	record_random(10);
	memcpy(&other, &h, sizeof(h));
	for (int i = 1; i <= 1000; i++) {
		histogram_record(&h, i * 1000);
		histogram_record(&since, i * 1000);
	}
	histogram_subtract(&h, &other);
	cr_assert_eq(counter_get(&h.total), 1000);
	cr_assert_float_eq(histogram_mean(&h), 500500, 1);
	check_near(counter_get(&h.min), 1000);
	check_near(counter_get(&h.max), 1000000);
	for (int percent = 1; percent < 100; percent++)
		cr_assert_eq(histogram_quantile(&h, percent / 100.0),
			     histogram_quantile(&since, percent / 100.0));
	histogram_subtract(&h, &since);
	cr_assert_eq(counter_get(&h.total), 0);
	cr_assert_eq(histogram_mean(&h), 0);
}

/* Of one value, and of none, there is a text too. */
TEST(histogram, short_texts)
{
	static char text[4096];
	FILE *out = fmemopen(text, sizeof(text), "w");

	cr_assert(out);
	cr_assert_eq(histogram_print(&h, out), 0);
	histogram_record(&h, 5000);
	cr_assert_eq(histogram_print(&h, out), 0);
	fclose(out);
	cr_assert(strstr(text, "1/(1-Percentile)\n\n#[Mean"), "%s", text);
	cr_assert(strstr(text, "       5.000 1.000000000000          1\n"), "%s", text);
}

/* A disk that is full is an error. */
TEST(histogram, full)
{
	FILE *out = fopen("/dev/full", "w");

	if (!out)
		cr_skip_test("there is no /dev/full");
	record_random(12);
	cr_assert_lt(histogram_print(&h, out), 0);
	fclose(out);
}
