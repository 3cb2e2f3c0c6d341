/* SPDX-License-Identifier: MIT */
#include "echoc/figures.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define TEXTS 16
#define TEXT_SIZE 40

static char *next_text(void)
{
	static char texts[TEXTS][TEXT_SIZE];
	static unsigned used;

	return texts[used++ % TEXTS];
}

const char *figures_count(uint64_t number)
{
	char digits[24], *text = next_text(), *end = text;
	int length = snprintf(digits, sizeof(digits), "%" PRIu64, number);

	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			*end++ = ',';
		*end++ = digits[i];
	}
	*end = '\0';
	return text;
}

static int decimals(double number)
{
	return number >= 99.95 || number == 0 ? 0 : number >= 9.995 ? 1 : number >= 0.1 ? 2 : 4;
}

const char *figures_number(double number)
{
	char *text;

	if (number >= 99.95)
		return figures_count((uint64_t)llround(number));
	text = next_text();
	snprintf(text, TEXT_SIZE, "%.*f", decimals(number), number);
	return text;
}

const char *figures_time(double ns)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	char *text = next_text();
	int unit = 0;

	for (; unit < 3 && fabs(ns) >= 999.5; unit++)
		ns /= 1000;
	snprintf(text, TEXT_SIZE, "%.*f %s", unit ? decimals(fabs(ns)) : 0, ns, units[unit]);
	return text;
}
