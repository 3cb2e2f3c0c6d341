/* SPDX-License-Identifier: MIT */
/*
 * quantity: numbers, times, sizes and percentages as people write them: 500, 1h30m, 64K,
 * 25%.
 *
 * Decimal, without signs, blanks and fractions.  Any thread.
 */
#ifndef ECHOD_QUANTITY_H
#define ECHOD_QUANTITY_H

#include <stdint.h>

#define QUANTITY_TEXT 24

enum quantity {
	QUANTITY_NUMBER,
	QUANTITY_TIME, /* seconds, or numbers with w, d, h, m, s, from the largest, each at most
			  once */
	QUANTITY_SIZE, /* bytes, or a number with one of K, M, G, T of 1024, in either case */
	QUANTITY_PERCENTAGE, /* from 1% to 100% */
};

/* 0, or -EINVAL for any other text and for what does not fit. */
int quantity_parse(enum quantity kind, const char *text, int64_t *value);

/* Writes the value into buffer, in the largest unit that is exact, and returns buffer. */
const char *quantity_format(enum quantity kind, int64_t value, char buffer[static QUANTITY_TEXT]);

#endif
