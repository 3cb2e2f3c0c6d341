/* SPDX-License-Identifier: MIT */
/*
 * quantity: numbers, times, sizes and percentages as people write them: 500, 1h30m, 64K,
 * 25%.
 *
 * Decimal, without signs, blanks and fractions.  The parsers return 0, or
 * -EINVAL for any other text and for what does not fit.  Any thread.
 */
#ifndef ECHOD_QUANTITY_H
#define ECHOD_QUANTITY_H

#include <stdint.h>

#define QUANTITY_TEXT 24

int quantity_parse_number(const char *text, int64_t *number);

/*
 * Seconds, or numbers with the units w, d, h, m and s, from the largest to
 * the smallest, each at most once.
 */
int quantity_parse_time(const char *text, int64_t *seconds);

/* Bytes, or a number with one of the units K, M, G and T of 1024, in either case. */
int quantity_parse_size(const char *text, int64_t *bytes);

/* From 1% to 100%. */
int quantity_parse_percentage(const char *text, int64_t *percent);

/* Write the value into buffer, in the largest unit that is exact, and return buffer. */
const char *quantity_format_number(int64_t number, char buffer[static QUANTITY_TEXT]);
const char *quantity_format_time(int64_t seconds, char buffer[static QUANTITY_TEXT]);
const char *quantity_format_size(int64_t bytes, char buffer[static QUANTITY_TEXT]);
const char *quantity_format_percentage(int64_t percent, char buffer[static QUANTITY_TEXT]);

#endif
