/* SPDX-License-Identifier: MIT */
#include "reactor/refusal_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

/* All reasons with the longest numbers. */
#define REASONS_TEXT 512

static uint64_t sum(const struct refusal_log *r)
{
	uint64_t n = 0;

	for (int i = 0; i < REFUSALS; i++)
		n += r->untold[i];
	return n;
}

/* One refusal needs no number of its own. */
static void put_reasons(char *text, const struct refusal_log *r, const counter totals[REFUSALS],
			uint64_t n)
{
	size_t at = 0;

	for (int i = 0; i < REFUSALS; i++) {
		char number[24] = "";

		if (!r->untold[i])
			continue;
		if (n > 1)
			snprintf(number, sizeof(number), " %" PRIu64, r->untold[i]);
		at += (size_t)snprintf(text + at, REASONS_TEXT - at, "%s%s%s (%" PRIu64 " so far)",
				       at ? ", " : "", refusal_names[i], number,
				       counter_get(&totals[i]));
	}
}

static void tell(const struct refusal_log *r, const counter totals[REFUSALS], uint64_t n)
{
	char client[ADDRESS_TEXT], reasons[REASONS_TEXT];
	struct log_field fields[3 + 2 * REFUSALS] = { FIELD("ECHOD_CLIENT", client),
						      FIELD_NUMBER("ECHOD_NEW", n) };
	struct log_field *next = fields + 2;

	address_format(&r->last, client);
	put_reasons(reasons, r, totals, n);
	for (int i = 0; i < REFUSALS; i++) {
		const char *name = refusal_names[i];

		*next++ = FIELD_COUNTER("ECHOD_NEW_", name, r->untold[i]);
		*next++ = FIELD_COUNTER("ECHOD_REFUSED_", name, counter_get(&totals[i]));
	}
	if (n == 1)
		log_event(EVENT_REFUSED, fields, "refused a connection from %s: %s", client,
			  reasons);
	else
		log_event(EVENT_REFUSED, fields,
			  "refused %" PRIu64 " connections, the last from %s: %s", n, client,
			  reasons);
}

void refusal_log_write(struct refusal_log *r, const counter totals[REFUSALS], int64_t now)
{
	if (now < refusal_log_due(r))
		return;
	tell(r, totals, sum(r));
	memset(r->untold, 0, sizeof(r->untold));
	r->next = now + REFUSAL_LOG_INTERVAL_MS;
}

void refusal_log_add(struct refusal_log *r, enum refusal reason, const struct address *client,
		     const counter totals[REFUSALS], int64_t now)
{
	r->untold[reason]++;
	r->last = *client;
	refusal_log_write(r, totals, now);
}

int64_t refusal_log_due(const struct refusal_log *r)
{
	return sum(r) > 0 ? r->next : INT64_MAX;
}
