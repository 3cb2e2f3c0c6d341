/*
 * state: what a process tells its successor about its connections, as a file.
 *
 * The sockets travel apart (carrier.h); a connection's number here, from 0 on,
 * says which is which.  All values are the machine's own, for the file never
 * leaves it, and times are of the monotonic clock, which a restart does not
 * touch.  The layout:
 *
 *   header
 *   refused   n_refused x u64, then pauses, u64    what the acceptor counted
 *   workers   n_workers x (n_closed + 2) x u64     closed by reason, received, echoed
 *   sources   n_sources x struct state_source      since version 2
 *   records   n_connections x struct state_record  in the order of their last progress
 *   pending   the pending bytes of all records, without gaps
 *
 * Versions: a new field or section, a new refusal or reason to close makes a
 * new version, which reads the older ones.  Nobody reads a newer one.
 *
 * Whoever reads does not trust: state_open() checks every count and size, so
 * that afterwards nothing points outside.  Pure functions: any thread.
 */
#ifndef ECHOD_STATE_H
#define ECHOD_STATE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "counters.h"

#ifndef STATE_VERSION /* the tests build an older and a newer one */
#define STATE_VERSION 2
#endif

struct state_header {
	char magic[8];
	uint32_t version;
	uint32_t n_refused, n_closed; /* kinds */
	uint32_t n_workers;
	uint32_t n_connections;
	uint32_t n_sources; /* 0 in version 1 */
	int64_t frozen;	    /* ns: when the predecessor stopped serving; since version 2 */
};

/* A source whose bucket was not full, see limiter.h. */
struct state_source {
	unsigned char address[16];
	int64_t due; /* ns */
};

struct state_record {
	int64_t since; /* ms */
	uint64_t echoed;
	uint64_t pending; /* bytes */
	uint32_t unacknowledged;
	uint16_t worker;
	uint16_t stalled; /* 0 or 1 */
};

/* A state that was read.  The pointers lead into it. */
struct state {
	struct state_header header;
	const uint64_t *refused; /* and pauses */
	const uint64_t *workers;
	const struct state_source *sources;
	const struct state_record *records;
	const unsigned char *pending;
	void *map;
	size_t size;
};

/* Writes a header with these counts.  Errors are for ferror(3) to tell. */
void state_write_header(FILE *out, const struct state_header *counts);

/*
 * Maps a state for reading.  fd must be a memfd that nobody can change any
 * more (F_SEAL_SHRINK and F_SEAL_WRITE); it stays the caller's.
 *
 * Returns 0, or -EPROTONOSUPPORT for a newer version, -EBADMSG for what is no
 * state, or another -errno.
 */
int state_open(struct state *s, int fd);

/* May be called after an error, and twice. */
void state_close(struct state *s);

#endif
