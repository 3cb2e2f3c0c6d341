/* SPDX-License-Identifier: MIT */
#include "echoc/tally.h"

#include <stdio.h>

#include "echoc/options.h"

#define REPORTS 5

static void add(counter *to, const counter *from)
{
	counter_add(to, counter_get(from));
}

void tally_add(struct tally *to, const struct tally *from)
{
	add(&to->connections, &from->connections);
	add(&to->connect_failures, &from->connect_failures);
	add(&to->messages_due, &from->messages_due);
	add(&to->messages_sent, &from->messages_sent);
	add(&to->messages_verified, &from->messages_verified);
	add(&to->bytes_sent, &from->bytes_sent);
	add(&to->bytes_verified, &from->bytes_verified);
	add(&to->corrupt, &from->corrupt);
	add(&to->lost, &from->lost);
	add(&to->unsent, &from->unsent);
	add(&to->in_flight, &from->in_flight);
	add(&to->resets, &from->resets);
	add(&to->early_closes, &from->early_closes);
	if (counter_get(&from->last_answer) > counter_get(&to->last_answer))
		counter_set(&to->last_answer, counter_get(&from->last_answer));
	for (int i = 0; i < TALLY_ERRORS; i++)
		add(&to->errors[i], &from->errors[i]);
	histogram_add(&to->latency, &from->latency);
	histogram_add(&to->connect, &from->connect);
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
