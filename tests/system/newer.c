/* SPDX-License-Identifier: MIT */
/*
 * A daemon of a later version, as far as its predecessors and successors can see:
 * what it hands over has a section and a field that the present version does not
 * know, and says so.  READABLE_SINCE is the oldest version that may read it.
 */
#include <stdlib.h>
#include <string.h>

#include "restart/state.h"

#define FIELD 8
#define SECTION 24

void __wrap_state_write_header(FILE *out, const struct state_header *known);
void __wrap_state_write_record(FILE *out, const struct saved *record);

static void fill(FILE *out, size_t size)
{
	while (size-- > 0)
		fputc(0xff, out);
}

void __wrap_state_write_header(FILE *out, const struct state_header *known)
{
	struct state_header header = *known;
	const char *since = getenv("READABLE_SINCE");

	memcpy(header.magic, "echodst", sizeof(header.magic));
	header.version = STATE_VERSION + 1;
	header.readable_since = since ? (uint32_t)atoi(since) : STATE_READABLE_SINCE;
	header.records_at = sizeof(header) + SECTION;
	header.record_size = sizeof(struct saved) + FIELD;
	fwrite(&header, sizeof(header), 1, out);
	fill(out, SECTION);
}

void __wrap_state_write_record(FILE *out, const struct saved *record)
{
	fwrite(record, sizeof(*record), 1, out);
	fill(out, FIELD);
}
