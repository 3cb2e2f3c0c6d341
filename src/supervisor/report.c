#include "supervisor/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

/* Each total has a field; the workers' numbers are in the line only. */
struct report {
	struct log_field fields[REFUSALS + CLOSINGS + 8];
	size_t n_fields;
	char line[20480]; /* has room for all, with 256 workers and the longest numbers */
	size_t size;
};

/* name begins with ECHOD_, which the line leaves out. */
static void put(struct report *r, const char *name, const char *suffix, uint64_t value)
{
	r->fields[r->n_fields++] = FIELD_COUNTER(name, suffix, value);
	r->size += (size_t)snprintf(r->line + r->size, sizeof(r->line) - r->size, " %s%s=%" PRIu64,
				    name + strlen("ECHOD_"), suffix, value);
}

static void put_worker(struct report *r, const struct worker *w)
{
	r->size += (size_t)snprintf(r->line + r->size, sizeof(r->line) - r->size,
				    " %s=%" PRIu64 ",%" PRIu64 ",%" PRIu64, w->loop.name,
				    worker_open(w), counter_get(&w->accepted),
				    counter_get(&w->echoed));
}

static uint64_t sum_closed(const struct worker *workers, unsigned n, enum closing reason)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += counter_get(&workers[i].closed[reason]);
	return sum;
}

static void put_totals(struct report *r, const struct worker *workers, unsigned n)
{
	uint64_t accepted = 0, open = 0, received = 0, echoed = 0;

	for (unsigned i = 0; i < n; i++) {
		accepted += counter_get(&workers[i].accepted);
		open += worker_open(&workers[i]);
		received += counter_get(&workers[i].echo.received);
		echoed += counter_get(&workers[i].echoed);
	}
	put(r, "ECHOD_", "accepted", accepted);
	put(r, "ECHOD_", "open", open);
	put(r, "ECHOD_", "received", received);
	put(r, "ECHOD_", "echoed", echoed);
}

static void put_all(struct report *r, const struct acceptor *acceptor, const struct worker *workers,
		    unsigned n)
{
	put_totals(r, workers, n);
	for (int i = 0; i < REFUSALS; i++)
		put(r, "ECHOD_refused_", refusal_name((enum refusal)i),
		    counter_get(&acceptor->refused[i]));
	for (int i = 0; i < CLOSINGS; i++)
		put(r, "ECHOD_closed_", closing_name((enum closing)i),
		    sum_closed(workers, n, (enum closing)i));
	put(r, "ECHOD_", "pauses", counter_get(&acceptor->pauses));
	for (unsigned i = 0; i < n; i++)
		put_worker(r, &workers[i]);
}

void report_counters(struct event event, const char *title, const struct acceptor *acceptor,
		     const struct worker *workers, unsigned n)
{
	static struct report r; /* too large for the stack */

	r.n_fields = r.size = 0;
	put_all(&r, acceptor, workers, n);
	log_event(event, r.fields, "%s:%s", title, r.line);
}
