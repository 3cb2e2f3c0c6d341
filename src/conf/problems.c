#include "conf/problems.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

/* How much of a path or an override is shown. */
#define PLACE_MAX 200

void problems_init(struct problems *p)
{
	p->n = 0;
	p->has_more = false;
	problems_in_file(p, "configuration");
}

void problems_in_file(struct problems *p, const char *path)
{
	p->place = path;
	p->is_override = false;
}

void problems_in_override(struct problems *p, const char *text)
{
	p->place = text;
	p->is_override = true;
}

/* Returns how many bytes were written. */
static int put_place(const struct problems *p, char *text, size_t size, int line)
{
	size_t n = strlen(p->place);
	const char *end = p->place + (n > PLACE_MAX ? n - PLACE_MAX : 0);

	if (p->is_override)
		return snprintf(text, size, "-o %.*s: ", PLACE_MAX, p->place);
	if (line > 0)
		return snprintf(text, size, "%s:%d: ", end, line);
	return snprintf(text, size, "%s: ", end);
}

void problems_vadd(struct problems *p, int line, const char *fmt, va_list ap)
{
	const size_t size = sizeof(p->text[0]);
	char *text;
	int n;

	if (p->has_more)
		return;
	if (p->n == PROBLEMS_MAX) {
		p->has_more = true;
		snprintf(p->text[p->n++], size, "there are more errors");
		return;
	}
	text = p->text[p->n++];
	n = put_place(p, text, size, line);
	vsnprintf(text + n, size - (size_t)n, fmt, ap);
	log_make_printable(text);
}

void problems_add(struct problems *p, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	problems_vadd(p, line, fmt, ap);
	va_end(ap);
}

void problems_log(const struct problems *p, unsigned first)
{
	for (unsigned i = first; i < p->n; i++)
		log_event(EVENT_CONFIGURATION_REFUSED, FIELDS(FIELD("ECHOD_ERROR", p->text[i])),
			  "%s", p->text[i]);
}
