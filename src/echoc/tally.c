/* SPDX-License-Identifier: MIT */
#include "echoc/tally.h"

#include <stddef.h>
#include <stdio.h>

#include "echoc/options.h"

#define REPORTS 5

/* Those before last_answer are sums, which a struct of counters has side by side. */
#define SUMS (offsetof(struct tally, last_answer) / sizeof(counter))

void tally_add(struct tally *to, const struct tally *from)
{
	const counter *sums = (const counter *)from;

	for (size_t i = 0; i < SUMS; i++)
		counter_add((counter *)to + i, counter_get(&sums[i]));
	if (counter_get(&from->last_answer) > counter_get(&to->last_answer))
		counter_set(&to->last_answer, counter_get(&from->last_answer));
	histogram_add(&to->latency, &from->latency);
	histogram_add(&to->connect, &from->connect);
}

void tally_subtract(struct tally *t, const struct tally *earlier)
{
	const counter *sums = (const counter *)earlier;

	for (size_t i = 0; i < SUMS; i++)
		counter_add((counter *)t + i, -counter_get(&sums[i]));
	histogram_subtract(&t->latency, &earlier->latency);
	histogram_subtract(&t->connect, &earlier->connect);
}

void tally_error(struct tally *t, int error)
{
	counter_increment(&t->errors[error < TALLY_ERRORS ? error : 0]);
}

int tally_status(const struct tally *t)
{
	if (counter_get(&t->corrupt) || counter_get(&t->lost) || counter_get(&t->unsent) ||
	    counter_get(&t->resets) || counter_get(&t->early_closes))
		return EXIT_NOT_ALL_BACK;
	return counter_get(&t->connect_failures) ? EXIT_OTHER : EXIT_ALL_BACK;
}

void tally_report(uint64_t connection, uint64_t offset, unsigned expected, unsigned found)
{
	static _Atomic unsigned reports;
	const char *guess = offset == 0 ? "; is it an echo service?" : "";

	if (atomic_fetch_add(&reports, 1) >= REPORTS)
		return;
	fprintf(stderr, "echoc: connection %llu, offset %llu: ", (unsigned long long)connection,
		(unsigned long long)offset);
	if (expected == TALLY_NOTHING)
		fprintf(stderr, "expected nothing, found 0x%02x%s\n", found, guess);
	else
		fprintf(stderr, "expected 0x%02x, found 0x%02x%s\n", expected, found, guess);
}
