/* SPDX-License-Identifier: MIT */
#include "echoc/payload.h"

#include <string.h>

#include "helper.h"

#define SIZE 4096

TestSuite(payload, .timeout = HELPER_TIMEOUT);

static void make(uint64_t seed, uint64_t stream, uint64_t position, unsigned char *data, size_t n)
{
	payload_make(payload_key(seed, stream), position, data, n);
}

/* A byte depends on its position only, however the stream is cut. */
TEST(payload, cuts)
{
	unsigned char whole[SIZE], part[SIZE];
	uint64_t key = payload_key(1, 2);

	payload_make(key, 0, whole, SIZE);
	for (size_t from = 0; from < 40; from++)
		for (size_t n = 0; n < 40; n++) {
			memset(part, 0xa5, sizeof(part));
			payload_make(key, from, part, n);
			cr_assert_arr_eq(part, whole + from, n);
			cr_assert_eq(part[n], 0xa5, "written beyond the end");
			cr_assert_eq(payload_check(key, from, whole + from, n), n);
		}
	for (size_t i = 0; i < SIZE; i++)
		cr_assert_eq(payload_byte(key, i), whole[i]);
}

/* Positions beyond 4 GiB are as good as any other, and differ from the first ones. */
TEST(payload, far)
{
	unsigned char near[64], far[64];
	uint64_t key = payload_key(1, 1), position = (UINT64_C(1) << 40) + 5;

	payload_make(key, 5, near, sizeof(near));
	payload_make(key, position, far, sizeof(far));
	cr_assert_neq(memcmp(near, far, sizeof(near)), 0);
	cr_assert_eq(payload_check(key, position, far, sizeof(far)), sizeof(far));
}

/* Each flipped bit is found, at its place, for every alignment. */
TEST(payload, bits)
{
	unsigned char data[64];
	uint64_t key = payload_key(7, 3);

	for (size_t from = 0; from < 9; from++) {
		payload_make(key, from, data, sizeof(data));
		for (size_t bit = 0; bit < 8 * sizeof(data); bit++) {
			data[bit / 8] ^= (unsigned char)(1 << bit % 8);
			cr_assert_eq(payload_check(key, from, data, sizeof(data)), bit / 8);
			data[bit / 8] ^= (unsigned char)(1 << bit % 8);
		}
	}
}

/* How many bytes of two streams are the same; by chance it is one of 256. */
static void check_differ(const unsigned char *a, const unsigned char *b)
{
	unsigned same = 0;

	for (size_t i = 0; i < SIZE; i++)
		same += a[i] == b[i];
	cr_assert_lt(same, 4 * SIZE / 256);
}

/* Other seeds and other streams, near or far, have other bytes. */
TEST(payload, streams_differ)
{
	static const uint64_t others[] = { 0, 2, 3, 256, 19000, UINT32_MAX, UINT64_MAX };
	unsigned char first[SIZE], other[SIZE];

	make(1, 1, 0, first, SIZE);
	for (size_t i = 0; i < COUNT(others); i++) {
		make(1, others[i], 0, other, SIZE);
		check_differ(first, other);
		make(others[i], 1, 0, other, SIZE);
		check_differ(first, other);
	}
	make(2, 1, 0, first, SIZE);
	make(1, 2, 0, other, SIZE);
	check_differ(first, other);
}

/* A stream is nowhere the same as itself some bytes further: a repeat or a gap shows. */
TEST(payload, shifts_differ)
{
	unsigned char data[2 * SIZE];

	make(1, 1, 0, data, sizeof(data));
	for (size_t shift = 1; shift <= SIZE; shift += shift < 70 ? 1 : 61)
		check_differ(data, data + shift);
}
