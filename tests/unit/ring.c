/* SPDX-License-Identifier: MIT */
#include "echoc/ring.h"

#include <string.h>

#include "helper.h"

#define MOST 100000

static struct ring ring;
static unsigned char data[MOST];
static size_t put, matched; /* bytes, ever */

static void end(void)
{
	ring_deinit(&ring);
}

TestSuite(ring, .fini = end, .timeout = HELPER_TIMEOUT);

/* The byte at this place: no period that a mistake could hit. */
static unsigned char byte_at(size_t position)
{
	return (unsigned char)((position * 0x9e3779b97f4a7c15) >> 56);
}

static void fill(size_t position, size_t n)
{
	for (size_t i = 0; i < n; i++)
		data[i] = byte_at(position + i);
}

static void put_some(size_t n)
{
	fill(put, n);
	cr_assert_eq(ring_put(&ring, data, n), 0);
	put += n;
}

static void match_some(size_t n)
{
	fill(matched, n);
	cr_assert_eq(ring_match(&ring, data, n), n);
	matched += n;
}

/* What was put comes out in its order, however it goes round, and while the ring grows. */
TEST(ring, order)
{
	struct helper_random random = { 5 };

	for (int i = 0; i < 2000; i++) {
		put_some(helper_random(&random, i % 100 ? 3000 : MOST));
		match_some(helper_random(
			&random, (uint32_t)(put - matched < MOST ? put - matched + 1 : MOST)));
		cr_assert_eq(ring_room(&ring), RING_LIMIT - (put - matched));
	}
	while (matched < put)
		match_some(put - matched < MOST ? put - matched : MOST);
	cr_assert_eq(ring_first(&ring), -1);
}

/* What goes round the end is in order, too, when the ring grows. */
TEST(ring, grows_in_two_pieces)
{
	put_some(60000);
	match_some(50000);
	put_some(40000); /* of 64 KiB it begins late, and ends early */
	put_some(60000);
	match_some(50000);
	match_some(60000);
	cr_assert_eq(ring_first(&ring), -1);
}

/* The first byte that differs, or for which there is none, is said; it stays. */
TEST(ring, differs)
{
	put_some(1000);
	fill(0, 1000);
	data[700] ^= 1;
	cr_assert_eq(ring_match(&ring, data, 1000), 700);
	cr_assert_eq(ring_first(&ring), byte_at(700));
	fill(700, 301);
	cr_assert_eq(ring_match(&ring, data, 301), 300);
	cr_assert_eq(ring_first(&ring), -1);
	cr_assert_eq(ring_match(&ring, data, 1), 0);
}
