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

/* Without values everything is 0. */
TEST(histogram, empty)
{
	cr_assert_eq(histogram_quantile(&h, 0), 0);
	cr_assert_eq(histogram_quantile(&h, 1), 0);
	cr_assert_eq(histogram_mean(&h), 0);
	cr_assert_eq(histogram_deviation(&h), 0);
}

/* Small times are exact, a negative one is 0. */
TEST(histogram, small)
{
	for (int64_t ns = -5; ns < 2048; ns++) {
		memset(&h, 0, sizeof(h));
		histogram_record(&h, ns);
		histogram_record(&h, MINUTE); /* else the largest is always exact */
		cr_assert_eq(histogram_quantile(&h, 0.5), (uint64_t)(ns < 0 ? 0 : ns));
	}
}

/* One value is its own minimum, maximum, mean and quantile. */
TEST(histogram, one)
{
	histogram_record(&h, 123456789);
	cr_assert_eq(counter_get(&h.min), 123456789);
	cr_assert_eq(counter_get(&h.max), 123456789);
	cr_assert_eq(histogram_mean(&h), 123456789);
	for (int percent = 0; percent <= 100; percent++)
		cr_assert_eq(histogram_quantile(&h, percent / 100.0), 123456789);
}

/* Each value up to a minute is known to 0.1 %, and never made smaller. */
TEST(histogram, error)
{
	struct helper_random random = { .state = 42 };

	for (int i = 0; i < 2000; i++) {
		uint64_t value = random_time(&random), found;

		memset(&h, 0, sizeof(h));
		histogram_record(&h, (int64_t)value);
		histogram_record(&h, MINUTE);
		found = histogram_quantile(&h, 0.5);
		cr_assert(found >= value && (double)(found - value) <= (double)value * 0.001,
			  "%llu for %llu", (unsigned long long)found, (unsigned long long)value);
	}
}

/* The edges of the buckets: 2^n - 1, 2^n and 2^n + 1. */
TEST(histogram, edges)
{
	for (int bits = 1; bits < 36; bits++)
		for (int d = -1; d <= 1; d++) {
			uint64_t value = (UINT64_C(1) << bits) + (uint64_t)d, found;

			memset(&h, 0, sizeof(h));
			histogram_record(&h, (int64_t)value);
			histogram_record(&h, MINUTE + MINUTE / 10);
			found = histogram_quantile(&h, 0.5);
			cr_assert(found >= value &&
				  (double)(found - value) <= (double)value * 0.001);
		}
}

/* What is too long for the buckets is in the last one; the maximum is exact. */
TEST(histogram, long_ones)
{
	histogram_record(&h, 10);
	histogram_record(&h, 1000 * MINUTE);
	cr_assert_eq(counter_get(&h.max), (uint64_t)(1000 * MINUTE));
	cr_assert_geq(histogram_quantile(&h, 1), (uint64_t)MINUTE);
	cr_assert_eq(histogram_quantile(&h, 0.5), 10);
}

/* Quantiles of random values are those of sorting, to 0.1 %. */
TEST(histogram, quantiles)
{
	static const double shares[] = { 0,    0.0001, 0.001, 0.01,  0.1,    0.25,    0.5,
					 0.75, 0.9,    0.99,  0.999, 0.9999, 0.99999, 1 };

	record_random(7);
	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
		size_t rank = (size_t)ceil(shares[i] * VALUES);
		uint64_t exact = values[rank ? rank - 1 : 0];
		uint64_t found = histogram_quantile(&h, shares[i]);

		cr_assert(found >= exact && (double)(found - exact) <= (double)exact * 0.001,
			  "%g: %llu for %llu", shares[i], (unsigned long long)found,
			  (unsigned long long)exact);
	}
	cr_assert_eq(counter_get(&h.min), values[0]);
	cr_assert_eq(counter_get(&h.max), values[VALUES - 1]);
}

/* Of few values each has its share: the quantile is the smallest that is large enough. */
TEST(histogram, few)
{
	for (int i = 1; i <= 4; i++)
		histogram_record(&h, 10 * i);
	cr_assert_eq(histogram_quantile(&h, 0), 10);
	cr_assert_eq(histogram_quantile(&h, 0.25), 10);
	cr_assert_eq(histogram_quantile(&h, 0.26), 20);
	cr_assert_eq(histogram_quantile(&h, 0.5), 20);
	cr_assert_eq(histogram_quantile(&h, 0.51), 30);
	cr_assert_eq(histogram_quantile(&h, 0.75), 30);
	cr_assert_eq(histogram_quantile(&h, 0.99), 40);
	cr_assert_eq(histogram_quantile(&h, 1), 40);
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
	for (int percent = 1; percent < 100; percent++)
		cr_assert_eq(histogram_quantile(&h, percent / 100.0),
			     histogram_quantile(&since, percent / 100.0));
	histogram_subtract(&h, &since);
	cr_assert_eq(counter_get(&h.total), 0);
	cr_assert_eq(histogram_mean(&h), 0);
}

static char *print(void)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	cr_assert(out);
	cr_assert_eq(histogram_print(&h, out), 0);
	fclose(out);
	return text;
}

/* Reads the rows of a percentile text.  How many; the last one is in *share and *count. */
static unsigned check_rows(const char *text, double *share, unsigned long *count)
{
	double value, last = 0, last_share = 0;
	unsigned long last_count = 0;
	unsigned rows = 0;
	const char *line = strchr(strchr(text, '\n') + 1, '\n') + 1;

	for (; *line != '#'; line = strchr(line, '\n') + 1, rows++) {
		cr_assert_eq(sscanf(line, "%lf %lf %lu", &value, share, count), 3, "%s", line);
		cr_assert(value >= last && *share >= last_share && *count >= last_count, "%s",
			  line);
		last = value;
		last_share = *share;
		last_count = *count;
	}
	return rows;
}

/* The percentile text rises in every column up to 1.0 and all values, then comes the footer. */
TEST(histogram, text)
{
	double share = 0;
	unsigned long count = 0;
	char *text, *footer;

	record_random(11);
	text = print();
	cr_assert_eq(
		strncmp(text, "       Value     Percentile TotalCount 1/(1-Percentile)\n\n", 57),
		0);
	cr_assert_gt(check_rows(text, &share, &count), 30);
	cr_assert_eq(share, 1);
	cr_assert_eq(count, VALUES);
	footer = strchr(text, '#');
	cr_assert(strstr(footer, "#[Mean    = ") && strstr(footer, ", StdDeviation   = "));
	cr_assert(strstr(footer, "#[Max     = ") &&
		  strstr(footer, ", Total count    =       100000]\n"));
	cr_assert(strstr(footer, "#[Buckets = ") && strstr(footer, ", SubBuckets     = "));
	free(text);
}

/* Of one value, and of none, there is a text too. */
TEST(histogram, short_texts)
{
	double share = 0;
	unsigned long count = 0;
	char *text = print();

	cr_assert_eq(check_rows(text, &share, &count), 0);
	free(text);
	histogram_record(&h, 5000);
	text = print();
	cr_assert_eq(check_rows(text, &share, &count), 1);
	cr_assert(strstr(text, "       5.000 1.000000000000          1\n"), "%s", text);
	free(text);
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
