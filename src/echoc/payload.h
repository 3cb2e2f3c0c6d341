/* SPDX-License-Identifier: MIT */
/*
 * payload: the bytes of a stream, which prove where they belong.
 *
 * A byte follows from the stream's key and its position alone, so nothing is
 * stored, and bytes of another stream, a repeat, a gap, a swap or a flipped
 * bit differ from what is expected.  Pure functions: any thread.
 */
#ifndef ECHOC_PAYLOAD_H
#define ECHOC_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>

/* The key of a stream. */
uint64_t payload_key(uint64_t seed, uint64_t stream);

/* Writes the n bytes at a position. */
void payload_make(uint64_t key, uint64_t position, unsigned char *data, size_t n);

/* How many of the n bytes are right, up to the first that is not. */
size_t payload_check(uint64_t key, uint64_t position, const unsigned char *data, size_t n);

/* One byte, for messages. */
unsigned char payload_byte(uint64_t key, uint64_t position);

#endif
