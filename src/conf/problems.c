/* SPDX-License-Identifier: MIT */
#include "conf/problems.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

/* How much of a path or an override is shown. */
#define PLACE_MAX 200

void problems_in(struct problems *p, const char *place, bool is_override)
{
	size_t n = strlen(place);

	p->place = place + (!is_override && n > PLACE_MAX ? n - PLACE_MAX : 0);
	p->is_override = is_override;
	p->line = 0;
}

void problems_init(struct problems *p)
{
	p->n = 0;
	problems_in(p, "configuration", false);
}

/* Returns how many bytes were written. */
static int put_place(const struct problems *p, char *text, size_t size)
{
	if (p->line > 0 && !p->is_override)
		return snprintf(text, size, "%s:%d: ", p->place, p->line);
	return snprintf(text, size, "%s%.*s: ", p->is_override ? "-o " : "", PLACE_MAX, p->place);
}

int problems_add(struct problems *p, const char *fmt, ...)
{
	const size_t size = sizeof(p->text[0]);
	char *text = p->text[p->n];
	va_list ap;
	int n;

	if (p->n == PROBLEMS_MAX)
		snprintf(text, size, "there are more errors");
	if (p->n >= PROBLEMS_MAX) {
		p->n = PROBLEMS_MAX + 1;
		return -EINVAL;
	}
	p->n++;
	n = put_place(p, text, size);
	va_start(ap, fmt);
	vsnprintf(text + n, size - (size_t)n, fmt, ap);
	va_end(ap);
	log_make_printable(text);
	return -EINVAL;
}

void problems_log(const struct problems *p, unsigned first)
{
	for (unsigned i = first; i < p->n; i++)
		log_event(EVENT_CONFIGURATION_REFUSED, FIELDS(FIELD("ECHOD_ERROR", p->text[i])),
			  "%s", p->text[i]);
}
