#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t sum_closed(const struct worker *workers, unsigned n, enum closing reason)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += counter_get(&workers[i].closed[reason]);
	return sum;
}

static void put_totals(FILE *out, const struct worker *workers, unsigned n)
{
	uint64_t accepted = 0, open = 0, received = 0, echoed = 0;

	for (unsigned i = 0; i < n; i++) {
		accepted += counter_get(&workers[i].accepted);
		open += worker_open(&workers[i]);
		received += counter_get(&workers[i].received);
		echoed += counter_get(&workers[i].echoed);
	}
	fprintf(out, "accepted=%" PRIu64 " open=%" PRIu64 " received=%" PRIu64 " echoed=%" PRIu64,
		accepted, open, received, echoed);
}

char *report_counters(const struct acceptor *acceptor, const struct worker *workers, unsigned n)
{
	char *line = NULL;
	size_t size;
	FILE *out = open_memstream(&line, &size);

	if (!out)
		return NULL;
	put_totals(out, workers, n);
	for (int i = 0; i < REFUSALS; i++)
		fprintf(out, " refused_%s=%" PRIu64, refusal_name((enum refusal)i),
			counter_get(&acceptor->refused[i]));
	for (int i = 0; i < CLOSINGS; i++)
		fprintf(out, " closed_%s=%" PRIu64, closing_name((enum closing)i),
			sum_closed(workers, n, (enum closing)i));
	fprintf(out, " pauses=%" PRIu64, counter_get(&acceptor->pauses));
	for (unsigned i = 0; i < n; i++)
		fprintf(out, " %s=%" PRIu64 ",%" PRIu64 ",%" PRIu64, workers[i].name,
			worker_open(&workers[i]), counter_get(&workers[i].accepted),
			counter_get(&workers[i].echoed));
	if (fclose(out) == 0)
		return line;
	free(line);
	return NULL;
}
