/* SPDX-License-Identifier: MIT */
/*
 * A histogram is a header of 40 bytes and the counts of its buckets, whose layout is
 * that of ours with three digits: as numbers of variable length, and a run of empty
 * buckets as one negative number.  That is compressed by zlib, given a header of its
 * own, and written in base64.  All numbers of headers are big-endian.
 */
#include "echoc/hlog.h"

#include <endian.h>
#include <string.h>
#include <zlib.h>

#define DIGITS 3
#define HEADER 40
#define COOKIE 0x1c849313
#define COOKIE_COMPRESSED 0x1c849314
#define NUMBER_SIZE 9 /* at most */

static unsigned char plain[HEADER + NUMBER_SIZE * HISTOGRAM_BUCKETS];
static unsigned char packed[8 + sizeof(plain) + sizeof(plain) / 512 + 64];

void hlog_begin(FILE *out, int64_t epoch_ms)
{
	fprintf(out,
		"#[Histogram log format version 1.3]\n"
		"#[StartTime: %lld.%03d (seconds since epoch)]\n"
		"\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\","
		"\"Interval_Compressed_Histogram\"\n",
		(long long)(epoch_ms / 1000), (int)(epoch_ms % 1000));
}

static unsigned char *put_32(unsigned char *at, uint32_t value)
{
	value = htobe32(value);
	return (unsigned char *)memcpy(at, &value, sizeof(value)) + sizeof(value);
}

static unsigned char *put_64(unsigned char *at, uint64_t value)
{
	return put_32(put_32(at, (uint32_t)(value >> 32)), (uint32_t)value);
}

/* The sign goes into the lowest bit; seven bits a byte, and eight in the ninth. */
static unsigned char *put_number(unsigned char *at, int64_t value)
{
	uint64_t rest = (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);

	for (int i = 1; rest >= 0x80 && i < NUMBER_SIZE; i++, rest >>= 7)
		*at++ = (unsigned char)(rest | 0x80);
	*at++ = (unsigned char)rest;
	return at;
}

static unsigned char *put_counts(unsigned char *at, const struct histogram *h)
{
	int64_t empty = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t count = counter_get(&h->counts[i]);

		if (count == 0) {
			empty++;
			continue;
		}
		if (empty > 0)
			at = put_number(at, empty > 1 ? -empty : 0);
		at = put_number(at, (int64_t)count);
		empty = 0;
	}
	return at;
}

/* Fills `plain`, and returns its end. */
static unsigned char *encode(const struct histogram *h)
{
	const double ratio = 1;
	unsigned char *end = put_counts(plain + HEADER, h), *at = plain;
	uint64_t bits;

	memcpy(&bits, &ratio, sizeof(bits));
	at = put_32(at, COOKIE);
	at = put_32(at, (uint32_t)(end - plain - HEADER));
	at = put_32(at, 0); /* offset of a normalized index */
	at = put_32(at, DIGITS);
	at = put_64(at, 1);
	at = put_64(at, (UINT64_C(1) << HISTOGRAM_MAX_BITS) - 1);
	put_64(at, bits);
	return end;
}

static void put_base64(FILE *out, const unsigned char *data, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		uint32_t three = (uint32_t)data[i] << 16;

		three |= i + 1 < n ? (uint32_t)data[i + 1] << 8 : 0;
		three |= i + 2 < n ? data[i + 2] : 0;
		for (size_t k = 0; k < 4; k++)
			putc(i + k <= n ? digits[three >> (18 - 6 * k) & 63] : '=', out);
	}
	putc('\n', out);
}

int hlog_add(FILE *out, const struct histogram *h, double start, double length)
{
	uLongf size = sizeof(packed) - 8;

	if (compress(packed + 8, &size, plain, (uLong)(encode(h) - plain)) != Z_OK)
		return -1;
	put_32(put_32(packed, COOKIE_COMPRESSED), (uint32_t)size);
	fprintf(out, "%.3f,%.3f,%.3f,", start, length, (double)counter_get(&h->max) / 1e6);
	put_base64(out, packed, 8 + size);
	return 0;
}
