/* SPDX-License-Identifier: MIT */
#include "echoc/argument.h"

#include <ctype.h>
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
	fprintf(stderr, "echoc: %s \"%s\" is not allowed, only %s\n", a->option, a->text, allowed);
	return -EINVAL;
}

/* The factor of a letter behind a number, and steps over it. */
static unsigned take_factor(const char **at)
{
	static const char letters[] = "KkMmGg";
	static const unsigned factors[] = { 1000, 1000000, 1000000000 };
	const char *found = **at ? strchr(letters, **at) : NULL;

	*at += found != NULL;
	return found ? factors[(found - letters) / 2] : 1;
}

int argument_number(uint64_t *value, const struct argument *a, uint64_t min, uint64_t max)
{
	const char *end;

	errno = 0;
	*value = strtoull(a->text, (char **)&end, 10);
	if (!isdigit((unsigned char)*a->text) || errno ||
	    __builtin_mul_overflow(*value, take_factor(&end), value) || *end || *value < min ||
	    *value > max)
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

/* Steps over a number, perhaps with a fraction; without sign or blank. */
static bool take_real(double *value, const char **at)
{
	const char *text = *at;

	if ((!isdigit((unsigned char)*text) && *text != '.') || strpbrk(text, "xX"))
		return false;
	*value = strtod(text, (char **)at);
	return *at != text && isfinite(*value);
}

int argument_rate(double *value, const struct argument *a)
{
	const char *text = a->text;
	bool right = take_real(value, &text);

	if (right)
		*value *= take_factor(&text);
	if (!right || (*text && strcmp(text, "/s") != 0) || *value > 1e9)
		return argument_refuse(a, "a number from 0 to 1000000000, such as 0.5 or 1M/s");
	return 0;
}

/* Seconds, or numbers with units, each smaller than the one before: 1h30m, 1.5s, 500ms. */
static bool parse_time(double *seconds, const char *text)
{
	static const struct unit {
		const char *name;
		double seconds;
	} units[] = { { "w", 604800 }, { "d", 86400 }, { "h", 3600 },  { "m", 60 },
		      { "s", 1 },      { "ms", 1e-3 }, { "us", 1e-6 }, { 0 } };
	double number;

	*seconds = 0;
	for (const struct unit *u = units; take_real(&number, &text); u++) {
		size_t n = strspn(text, "wdhmsu");

		if (u == units && !*text)
			u = &units[4];
		else
			while (u->name && (strlen(u->name) != n || memcmp(u->name, text, n) != 0))
				u++;
		if (!u->name)
			return false;
		*seconds += number * u->seconds;
		text += n;
		if (!*text)
			return true;
	}
	return false;
}

int argument_time(int64_t *value, const struct argument *a, uint64_t min)
{
	double seconds;

	/* In ms it must fit an int. */
	if (!parse_time(&seconds, a->text) || seconds > 1e6 ||
	    round(seconds * SECOND) < (double)min)
		return argument_refuse(a, "a time from %g to 1000000 seconds, such as 20ms or 10m",
				       (double)min / SECOND);
	*value = (int64_t)round(seconds * SECOND);
	return 0;
}

static bool parse_sizes(const char *text, int64_t *min, int64_t *max)
{
	const char *dash = strchrnul(text, '-');
	char first[QUANTITY_TEXT];

	snprintf(first, sizeof(first), "%.*s", (int)(dash - text), text);
	return quantity_parse(QUANTITY_SIZE, first, min) == 0 &&
	       quantity_parse(QUANTITY_SIZE, *dash ? dash + 1 : first, max) == 0 && *min >= 1 &&
	       *max >= *min && *max <= SIZE_LIMIT;
}

int argument_sizes(size_t *min, size_t *max, const struct argument *a)
{
	int64_t from, to;

	if (!parse_sizes(a->text, &from, &to))
		return argument_refuse(a, "a size from 1 to 1G, such as 64 or 16K, or MIN-MAX");
	*min = (size_t)from;
	*max = (size_t)to;
	return 0;
}

static bool is_percent(double number)
{
	return number > 0 && number < 100;
}

int argument_percentiles(double *list, size_t *n, size_t max, const struct argument *a)
{
	const char *text = a->text;
	double last = 0, next;
	bool more = true;

	for (*n = 0; more && *n < max; last = next) {
		if (!take_real(&next, &text) || !is_percent(next) || next <= last)
			break;
		list[(*n)++] = next;
		more = *text == ',';
		text += more;
	}
	if (*text || more)
		return argument_refuse(a, "up to %zu percentiles, rising, such as 50,99,99.9", max);
	return 0;
}

int argument_objective(struct objective *value, const struct argument *a)
{
	const char *text = a->text + 1;
	double seconds;

	if (*a->text != 'p' || !take_real(&value->percent, &text) || !is_percent(value->percent) ||
	    *text != '=' || !parse_time(&seconds, text + 1) || seconds < 1e-6 || seconds > 1e6)
		return argument_refuse(a, "a percentile and a time, such as p99=5ms or p99.9=0.1");
	value->time = (int64_t)round(seconds * SECOND);
	return 0;
}
