/* SPDX-License-Identifier: MIT */
#include "echoc/histogram.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>

#define SUB (1u << HISTOGRAM_SUB_BITS)

/* Lines of the percentile text for each halving of what is left to 100 %. */
#define LINES_PER_HALVING 5

static unsigned bucket_of(uint64_t v)
{
	unsigned shift;

	if (v >= 1ull << HISTOGRAM_MAX_BITS)
		return HISTOGRAM_BUCKETS - 1;
	if (v < 2 * SUB)
		return (unsigned)v;
	shift = 63 - (unsigned)__builtin_clzll(v) - HISTOGRAM_SUB_BITS;
	return shift * SUB + (unsigned)(v >> shift);
}

/* The largest value of a bucket. */
static uint64_t upper_end(unsigned bucket)
{
	unsigned shift = bucket < 2 * SUB ? 0 : bucket / SUB - 1;
	uint64_t first = (uint64_t)(bucket - shift * SUB) << shift;

	return bucket < HISTOGRAM_BUCKETS - 1 ? first + (1ull << shift) - 1 : UINT64_MAX;
}

/* What is known of a time: it is one of those that were recorded. */
static uint64_t clip(const struct histogram *h, uint64_t v)
{
	uint64_t min = counter_get(&h->min), max = counter_get(&h->max);

	return v < min ? min : v > max ? max : v;
}

static double sum_of(const struct histogram *h)
{
	return atomic_load_explicit(&h->sum, memory_order_relaxed);
}

static void add_sum(struct histogram *h, double ns)
{
	atomic_store_explicit(&h->sum, sum_of(h) + ns, memory_order_relaxed);
}

static void include(struct histogram *h, uint64_t min, uint64_t max)
{
	if (counter_get(&h->total) == 0 || min < counter_get(&h->min))
		counter_set(&h->min, min);
	if (max > counter_get(&h->max))
		counter_set(&h->max, max);
}

void histogram_record(struct histogram *h, int64_t ns)
{
	uint64_t v = ns < 0 ? 0 : (uint64_t)ns;

	include(h, v, v);
	counter_add(&h->counts[bucket_of(v)], 1);
	add_sum(h, (double)v);
	counter_add(&h->total, 1);
}

void histogram_add(struct histogram *to, const struct histogram *from)
{
	if (counter_get(&from->total) == 0)
		return;
	include(to, counter_get(&from->min), counter_get(&from->max));
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		counter_add(&to->counts[i], counter_get(&from->counts[i]));
	add_sum(to, sum_of(from));
	counter_add(&to->total, counter_get(&from->total));
}

void histogram_subtract(struct histogram *h, const struct histogram *earlier)
{
	uint64_t min = 0, max = 0;
	bool any = false;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		counter_add(&h->counts[i], -counter_get(&earlier->counts[i]));
		if (counter_get(&h->counts[i]) == 0)
			continue;
		max = clip(h, upper_end(i));
		min = any ? min : max;
		any = true;
	}
	add_sum(h, -sum_of(earlier));
	counter_add(&h->total, -counter_get(&earlier->total));
	counter_set(&h->min, min);
	counter_set(&h->max, max);
}

uint64_t histogram_quantile(const struct histogram *h, double p)
{
	uint64_t wanted, seen = 0;

	wanted = (uint64_t)ceil(p * (double)counter_get(&h->total));
	if (wanted == 0)
		wanted = 1;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += counter_get(&h->counts[i]);
		if (seen >= wanted)
			return clip(h, upper_end(i));
	}
	return counter_get(&h->max);
}

uint64_t histogram_beyond(const struct histogram *h)
{
	return counter_get(&h->counts[HISTOGRAM_BUCKETS - 1]);
}

double histogram_mean(const struct histogram *h)
{
	uint64_t total = counter_get(&h->total);

	return total ? sum_of(h) / (double)total : 0;
}

double histogram_deviation(const struct histogram *h)
{
	double mean = histogram_mean(h), squares = 0;
	uint64_t total = counter_get(&h->total);

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		double distance = (double)clip(h, upper_end(i)) - mean;

		squares += distance * distance * (double)counter_get(&h->counts[i]);
	}
	return total ? sqrt(squares / (double)total) : 0;
}

/* How many do not exceed a value. */
static uint64_t count_up_to(const struct histogram *h, uint64_t value)
{
	uint64_t seen = 0;
	unsigned last = bucket_of(value);

	for (unsigned i = 0; i <= last; i++)
		seen += counter_get(&h->counts[i]);
	return seen;
}

/* The next percentile to print: steps shrink as 100 % comes near. */
static double next_level(double p)
{
	double halvings = floor(log2(1 / (1 - p))) + 1;

	return p + 1 / (LINES_PER_HALVING * exp2(halvings));
}

int histogram_print(const struct histogram *h, FILE *out)
{
	uint64_t total = counter_get(&h->total), seen = 0;

	fprintf(out, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
		"1/(1-Percentile)");
	for (double p = 0; total && seen < total; p = next_level(p)) {
		uint64_t value = histogram_quantile(h, p);

		seen = count_up_to(h, value);
		if (seen < total)
			fprintf(out, "%12.3f %2.12f %10llu %14.2f\n", (double)value / 1e3, p,
				(unsigned long long)seen, 1 / (1 - p));
		else
			fprintf(out, "%12.3f %2.12f %10llu\n", (double)value / 1e3, 1.0,
				(unsigned long long)seen);
	}
	fprintf(out, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", histogram_mean(h) / 1e3,
		histogram_deviation(h) / 1e3);
	fprintf(out, "#[Max     = %12.3f, Total count    = %12llu]\n",
		(double)counter_get(&h->max) / 1e3, (unsigned long long)total);
	fprintf(out, "#[Buckets = %12d, SubBuckets     = %12d]\n",
		HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS, 2 * (int)SUB);
	return fflush(out) < 0 ? -errno : 0;
}
