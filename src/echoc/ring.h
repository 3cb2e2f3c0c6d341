/* SPDX-License-Identifier: MIT */
/*
 * ring: bytes in the order in which they came, as many as there are, within a
 * limit.
 */
#ifndef ECHOC_RING_H
#define ECHOC_RING_H

#include <stddef.h>

#define RING_LIMIT ((size_t)64 << 20)

struct ring { /* zeros: empty */
	unsigned char *data;
	size_t size; /* of data; 0 or a power of two */
	size_t start, used;
};

void ring_deinit(struct ring *ring);

/* How many bytes may still be put. */
size_t ring_room(const struct ring *ring);

/* Appends up to ring_room() bytes.  Returns 0 or -ENOMEM. */
int ring_put(struct ring *ring, const unsigned char *data, size_t n);

/*
 * Compares data with the oldest bytes, and removes those that are equal.
 * Returns how many: n, or the index in data of the first that differs or for
 * which there is none left.
 */
size_t ring_match(struct ring *ring, const unsigned char *data, size_t n);

/* The oldest byte, or -1. */
int ring_first(const struct ring *ring);

#endif
