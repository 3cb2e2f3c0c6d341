/* SPDX-License-Identifier: MIT */
#include "echoc/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE ((size_t)64 << 10)

void ring_deinit(struct ring *ring)
{
	free(ring->data);
	*ring = (struct ring){ 0 };
}

size_t ring_room(const struct ring *ring)
{
	return RING_LIMIT - ring->used;
}

/* How much lies in one piece from an offset on, n at most. */
static size_t piece(const struct ring *ring, size_t offset, size_t n)
{
	return n < ring->size - offset ? n : ring->size - offset;
}

/* Makes it large enough for n more. */
static int grow(struct ring *ring, size_t n)
{
	size_t size = ring->size ? ring->size : FIRST_SIZE;
	size_t first = piece(ring, ring->start, ring->used);
	unsigned char *data;

	while (size < ring->used + n)
		size *= 2;
	data = malloc(size);
	if (!data)
		return -ENOMEM;
	if (ring->used > 0) {
		memcpy(data, ring->data + ring->start, first);
		memcpy(data + first, ring->data, ring->used - first);
	}
	free(ring->data);
	*ring = (struct ring){ .data = data, .size = size, .used = ring->used };
	return 0;
}

int ring_put(struct ring *ring, const unsigned char *data, size_t n)
{
	size_t end, first;

	if (ring->size - ring->used < n && grow(ring, n) < 0)
		return -ENOMEM;
	end = (ring->start + ring->used) & (ring->size - 1);
	first = piece(ring, end, n);
	memcpy(ring->data + end, data, first);
	memcpy(ring->data, data + first, n - first);
	ring->used += n;
	return 0;
}

/* How many bytes are equal from the beginning on. */
static size_t equal(const unsigned char *a, const unsigned char *b, size_t n)
{
	size_t i = 0;

	if (memcmp(a, b, n) == 0)
		return n;
	while (a[i] == b[i])
		i++;
	return i;
}

size_t ring_match(struct ring *ring, const unsigned char *data, size_t n)
{
	size_t matched = 0;

	while (matched < n && ring->used > 0) {
		size_t most = n - matched < ring->used ? n - matched : ring->used;
		size_t here = piece(ring, ring->start, most);
		size_t same = equal(ring->data + ring->start, data + matched, here);

		ring->start = (ring->start + same) & (ring->size - 1);
		ring->used -= same;
		matched += same;
		if (same < here)
			break;
	}
	return matched;
}

int ring_first(const struct ring *ring)
{
	return ring->used > 0 ? ring->data[ring->start] : -1;
}
