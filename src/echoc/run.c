/* SPDX-License-Identifier: MIT */
#include "echoc/run.h"

#include <math.h>

#define N(name) counter_get(&tally->name)

/* Messages that were lost together with their connections. */
static uint64_t lost_in_outages(const struct run *r)
{
	uint64_t lost = 0;

	for (unsigned i = 0; i < r->outages->n && i < OUTAGES_MAX; i++)
		lost += r->outages->at[i].lost;
	return lost;
}

bool run_is_late(const struct run *r)
{
	return r->options->max_outage && r->outages->longest > r->options->max_outage;
}

bool run_forgives(const struct run *r, const struct tally *tally)
{
	return r->options->reconnect && N(messages_verified) > 0 && N(lost) <= lost_in_outages(r);
}

int run_status(const struct run *r, const struct tally *tally)
{
	bool silent = r->options->command == COMMAND_PING && N(messages_verified) == 0;

	if (N(corrupt) || silent || run_is_late(r))
		return EXIT_NOT_ALL_BACK;
	if (run_forgives(r, tally))
		return EXIT_ALL_BACK;
	return tally_status(tally);
}

struct span run_outage(const struct run *r, const struct outage *outage)
{
	int64_t start = outage->start > r->start ? outage->start : r->start;
	int64_t end = outage->end > start ? outage->end : start;

	return (struct span){ start - r->start, outage->end ? end - start : -1 };
}

double run_loss(const struct tally *tally)
{
	return N(messages_sent) ? 100 * (double)N(lost) / (double)N(messages_sent) : NAN;
}

double run_rate(uint64_t n, double seconds)
{
	return seconds > 0 ? (double)n / seconds : 0;
}

bool run_knows(const struct histogram *h, double percent)
{
	return (double)counter_get(&h->total) * (100 - percent) >= 100 - 1e-6;
}
