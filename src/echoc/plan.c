/* SPDX-License-Identifier: MIT */
#include "echoc/plan.h"

uint64_t plan_share(const struct plan *plan, uint64_t total, unsigned number)
{
	unsigned threads = plan->options->threads;

	return total / threads + (number < total % threads);
}

int64_t plan_time(const struct plan *plan, unsigned number, uint64_t m)
{
	const struct options *o = plan->options;
	double ns = ((double)number + (double)m * o->threads) / o->rate * 1e9;

	return ns < 4e18 ? plan->start + (int64_t)ns : INT64_MAX;
}

bool plan_counts(const struct plan *plan, int64_t time)
{
	return time >= plan->start + plan->options->warmup;
}

size_t plan_size(const struct plan *plan, uint64_t *random)
{
	const struct options *o = plan->options;

	if (o->min_size == o->max_size)
		return o->min_size;
	*random = *random * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
	return o->min_size + (size_t)((*random >> 32) % (o->max_size - o->min_size + 1));
}
