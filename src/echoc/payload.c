/* SPDX-License-Identifier: MIT */
/*
 * Eight bytes at a time: a counter through the mixer of SplitMix64 (Steele, Lea
 * and Flood, "Fast splittable pseudorandom number generators", 2014), whose
 * output is a bijection of its input: two positions of a stream never have the
 * same eight bytes.  Keys are mixed too, so that neighbouring streams have
 * nothing in common.
 */
#include "echoc/payload.h"

#include <endian.h>
#include <string.h>

#define GOLDEN 0x9e3779b97f4a7c15

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static uint64_t word(uint64_t key, uint64_t index)
{
	return htole64(mix(key + index * GOLDEN));
}

uint64_t payload_key(uint64_t seed, uint64_t stream)
{
	return mix(mix(seed * GOLDEN) + stream * GOLDEN);
}

unsigned char payload_byte(uint64_t key, uint64_t position)
{
	uint64_t w = word(key, position / 8);
	unsigned char bytes[8];

	memcpy(bytes, &w, 8);
	return bytes[position % 8];
}

void payload_make(uint64_t key, uint64_t position, unsigned char *data, size_t n)
{
	uint64_t w;

	for (; n > 0 && position % 8; n--)
		*data++ = payload_byte(key, position++);
	for (; n >= 8; n -= 8, data += 8, position += 8) {
		w = word(key, position / 8);
		memcpy(data, &w, 8);
	}
	w = word(key, position / 8);
	memcpy(data, &w, n);
}

size_t payload_check(uint64_t key, uint64_t position, const unsigned char *data, size_t n)
{
	size_t i = 0;
	uint64_t w;

	while (i < n && (position + i) % 8 && data[i] == payload_byte(key, position + i))
		i++;
	if ((position + i) % 8 == 0)
		for (; n - i >= 8; i += 8) {
			memcpy(&w, data + i, 8);
			if (w != word(key, (position + i) / 8))
				break;
		}
	while (i < n && data[i] == payload_byte(key, position + i))
		i++;
	return i;
}
