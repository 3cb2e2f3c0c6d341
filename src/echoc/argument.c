/* SPDX-License-Identifier: MIT */
#include "echoc/argument.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/quantity.h"

#define SECOND 1e9
#define SIZE_LIMIT (1 << 30)

int argument_refuse(const struct argument *a, const char *fmt, ...)
{
	char allowed[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(allowed, sizeof(allowed), fmt, ap);
	va_end(ap);
	if (a->text)
		fprintf(stderr, "echoc: %s \"%s\" is not allowed, only %s\n", a->option, a->text,
			allowed);
	else
		fprintf(stderr, "echoc: %s takes %s\n", a->option, allowed);
	return -EINVAL;
}

int argument_number(uint64_t *value, const struct argument *a, uint64_t min, uint64_t max)
{
	const char *text = a->text;
	char *end;

	errno = 0;
	*value = text ? strtoull(text, &end, 10) : 0;
	if (!text || *text < '0' || *text > '9' || *end || errno || *value < min || *value > max)
		return argument_refuse(a, "a number from %" PRIu64 " to %" PRIu64, min, max);
	return 0;
}

int argument_unsigned(unsigned *value, const struct argument *a, unsigned max)
{
	uint64_t number;
	int r = argument_number(&number, a, 1, max);

	*value = (unsigned)number;
	return r;
}

static bool parse_real(double *value, const char *text, double min, double max)
{
	char *end;

	if (!text)
		return false;
	*value = strtod(text, &end);
	return end != text && !*end && isfinite(*value) && *value >= min && *value <= max;
}

int argument_rate(double *value, const struct argument *a)
{
	if (!parse_real(value, a->text, 0, 1e9))
		return argument_refuse(a, "a number from 0 to 1000000000, such as 100 or 0.5");
	return 0;
}

/* Seconds, also with a fraction, or a time with units. */
int argument_time(int64_t *value, const struct argument *a, double min)
{
	const char *text = a->text;
	char plain[QUANTITY_TEXT];
	int64_t whole;
	double seconds;

	if (text && quantity_parse_time(text, &whole) == 0)
		text = quantity_format_number(whole, plain);
	if (!parse_real(&seconds, text, min, 1e6)) /* in ms it must fit an int */
		return argument_refuse(a, "a time from %g to 1000000 seconds, such as 0.5 or 10m",
				       min);
	*value = (int64_t)(seconds * SECOND);
	return 0;
}

static bool parse_sizes(const char *text, int64_t *min, int64_t *max)
{
	const char *dash = strchrnul(text, '-');
	char first[QUANTITY_TEXT];

	snprintf(first, sizeof(first), "%.*s", (int)(dash - text), text);
	return quantity_parse_size(first, min) == 0 &&
	       quantity_parse_size(*dash ? dash + 1 : first, max) == 0 && *min >= 1 &&
	       *max >= *min && *max <= SIZE_LIMIT;
}

int argument_sizes(size_t *min, size_t *max, const struct argument *a)
{
	int64_t from, to;

	if (!a->text || !parse_sizes(a->text, &from, &to))
		return argument_refuse(a, "a size from 1 to 1G, such as 64 or 16K, or MIN-MAX");
	*min = (size_t)from;
	*max = (size_t)to;
	return 0;
}
