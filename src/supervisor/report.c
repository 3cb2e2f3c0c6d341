/* SPDX-License-Identifier: MIT */
#include "supervisor/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

/* Each total has a field; the workers' own numbers are in the line only. */
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

static void put_all(struct report *r, const struct reactor *reactor)
{
	const struct acceptor *acceptor = &reactor->acceptor;
	uint64_t accepted = 0, received = 0, echoed = 0, closed[CLOSINGS] = { 0 };

	for (unsigned i = 0; i < reactor->shared.n_workers; i++) {
		const struct worker *w = &reactor->shared.workers[i];

		accepted += counter_get(&w->accepted);
		received += counter_get(&w->echo.received);
		echoed += counter_get(&w->echoed);
		for (int reason = 0; reason < CLOSINGS; reason++)
			closed[reason] += counter_get(&w->closed[reason]);
	}
	put(r, "ECHOD_", "accepted", accepted);
	put(r, "ECHOD_", "open", reactor_open(reactor));
	put(r, "ECHOD_", "received", received);
	put(r, "ECHOD_", "echoed", echoed);
	for (int i = 0; i < REFUSALS; i++)
		put(r, "ECHOD_refused_", refusal_names[i], counter_get(&acceptor->refused[i]));
	for (int i = 0; i < CLOSINGS; i++)
		put(r, "ECHOD_closed_", closing_names[i], closed[i]);
	put(r, "ECHOD_", "pauses", counter_get(&acceptor->pauses));
	for (unsigned i = 0; i < reactor->shared.n_workers; i++)
		put_worker(r, &reactor->shared.workers[i]);
}

void report_counters(struct event event, const char *title, const struct reactor *reactor)
{
	static struct report r; /* too large for the stack */

	r.n_fields = r.size = 0;
	put_all(&r, reactor);
	log_event(event, r.fields, "%s:%s", title, r.line);
}
