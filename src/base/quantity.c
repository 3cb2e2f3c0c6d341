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
static const struct unit units_of[][6] = {
	[QUANTITY_NUMBER] = { { 0 } },
	[QUANTITY_TIME] = {
		{ "w", 604800 }, { "d", 86400 }, { "h", 3600 }, { "m", 60 }, { "s", 1 }, { 0 } },
	[QUANTITY_SIZE] = {
		{ "Tt", INT64_C(1) << 40 }, { "Gg", 1 << 30 }, { "Mm", 1 << 20 }, { "Kk", 1 << 10 }, { 0 } },
	[QUANTITY_PERCENTAGE] = { { "%", 1 }, { 0 } },
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

int quantity_parse(enum quantity kind, const char *text, int64_t *value)
{
	bool percentage = kind == QUANTITY_PERCENTAGE;
	const struct unit *units = units_of[kind];
	const char *end = text;

	if (!percentage && take_digits(&end, value) == 0 && !*end)
		return 0;
	*value = 0;
	do {
		if (take_part(&text, &units, value) < 0)
			return -EINVAL;
	} while (kind == QUANTITY_TIME && *text);
	return *text || (percentage && (*value < 1 || *value > 100)) ? -EINVAL : 0;
}

const char *quantity_format(enum quantity kind, int64_t value, char buffer[static QUANTITY_TEXT])
{
	const struct unit *unit = units_of[kind];

	while (unit->letters && value % unit->factor != 0)
		unit++;
	if (value == 0 || !unit->letters)
		snprintf(buffer, QUANTITY_TEXT, "%" PRId64, value);
	else
		snprintf(buffer, QUANTITY_TEXT, "%" PRId64 "%c", value / unit->factor,
			 *unit->letters);
	return buffer;
}
