/* SPDX-License-Identifier: MIT */
#include "base/quantity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit {
	const char *letters; /* the first is written; NULL after the last unit */
	int64_t factor;
};

/* clang-format off */
static const struct unit times[] = {
	{ "w", 604800 }, { "d", 86400 }, { "h", 3600 }, { "m", 60 }, { "s", 1 }, { 0 },
};

static const struct unit sizes[] = {
	{ "Tt", INT64_C(1) << 40 }, { "Gg", 1 << 30 }, { "Mm", 1 << 20 }, { "Kk", 1 << 10 }, { 0 },
};
/* clang-format on */

/* Steps over digits, at least one. */
static int take_digits(const char **at, int64_t *number)
{
	const char *from = *at;

	for (*number = 0; **at >= '0' && **at <= '9'; ++*at)
		if (__builtin_mul_overflow(*number, 10, number) ||
		    __builtin_add_overflow(*number, **at - '0', number))
			return -EINVAL;
	return *at == from ? -EINVAL : 0;
}

/* Steps over digits and one of the units from *units on; *units is then the next one. */
static int take_part(const char **at, const struct unit **units, int64_t *sum)
{
	const struct unit *u = *units;
	int64_t number;

	if (take_digits(at, &number) < 0 || **at == '\0')
		return -EINVAL;
	while (u->letters && !strchr(u->letters, **at))
		u++;
	if (!u->letters || __builtin_mul_overflow(number, u->factor, &number) ||
	    __builtin_add_overflow(*sum, number, sum))
		return -EINVAL;
	++*at;
	*units = u + 1;
	return 0;
}

int quantity_parse_number(const char *text, int64_t *number)
{
	return take_digits(&text, number) < 0 || *text ? -EINVAL : 0;
}

static int parse(const char *text, const struct unit *units, bool many, int64_t *sum)
{
	if (quantity_parse_number(text, sum) == 0)
		return 0;
	*sum = 0;
	do {
		if (take_part(&text, &units, sum) < 0)
			return -EINVAL;
	} while (many && *text);
	return *text ? -EINVAL : 0;
}

int quantity_parse_time(const char *text, int64_t *seconds)
{
	return parse(text, times, true, seconds);
}

int quantity_parse_size(const char *text, int64_t *bytes)
{
	return parse(text, sizes, false, bytes);
}

int quantity_parse_percentage(const char *text, int64_t *percent)
{
	if (take_digits(&text, percent) < 0 || strcmp(text, "%") != 0)
		return -EINVAL;
	return *percent < 1 || *percent > 100 ? -EINVAL : 0;
}

static const char *format(int64_t value, const struct unit *units, char *buffer)
{
	while (units->letters && value % units->factor != 0)
		units++;
	if (value == 0 || !units->letters)
		return quantity_format_number(value, buffer);
	snprintf(buffer, QUANTITY_TEXT, "%" PRId64 "%c", value / units->factor, *units->letters);
	return buffer;
}

const char *quantity_format_number(int64_t number, char buffer[static QUANTITY_TEXT])
{
	snprintf(buffer, QUANTITY_TEXT, "%" PRId64, number);
	return buffer;
}

const char *quantity_format_time(int64_t seconds, char buffer[static QUANTITY_TEXT])
{
	return format(seconds, times, buffer);
}

const char *quantity_format_size(int64_t bytes, char buffer[static QUANTITY_TEXT])
{
	return format(bytes, sizes, buffer);
}

const char *quantity_format_percentage(int64_t percent, char buffer[static QUANTITY_TEXT])
{
	snprintf(buffer, QUANTITY_TEXT, "%" PRId64 "%%", percent);
	return buffer;
}
