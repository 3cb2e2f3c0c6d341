/* SPDX-License-Identifier: MIT */
/*
 * state: what a process tells its successor about its connections, as a file in
 * memory.
 *
 * The sockets travel apart (fdpass.h); a connection's number here, from 0 on,
 * says which is which.  All values are the machine's own, for the file never
 * leaves it, and times are of the monotonic clock, which a restart does not
 * touch.  The layout:
 *
 *   header
 *   ...       up to records_at: sections of later versions
 *   records   n_connections of record_size bytes, in the order of their last progress
 *   pending   the pending bytes of all records, without gaps
 *
 * Versions.  A new field goes to the end of the record, a new section before the
 * records, so that an older process skips what it does not know; then only
 * `version` changes.  If an older process would go wrong without it,
 * `readable_since` becomes the new version, and the older one refuses the file.
 * A reader takes a missing field as 0.
 *
 * The file is not trusted: each count, size and record is checked when it is
 * read, and everything is copied, so that it cannot be changed afterwards.
 * Written by the thread that hands over, read by main.
 */
#ifndef ECHOD_STATE_H
#define ECHOD_STATE_H

#include <stdint.h>
#include <stdio.h>

#include "echo/connection.h"

#define STATE_VERSION 3
#define STATE_READABLE_SINCE 3

struct state_header {
	char magic[8];
	uint32_t version;
	uint32_t readable_since; /* the oldest version that may read it */
	uint32_t records_at;	 /* offset of the first record */
	uint32_t record_size;
	uint32_t n_connections;
	uint32_t n_workers;
	int64_t frozen; /* ns: when the predecessor stopped serving */
};

/* A state that is being read. */
struct state {
	uint32_t n_connections; /* 0 after an error, too */
	uint32_t n_workers;
	int64_t frozen;
	/* private */
	FILE *in;
	uint32_t next; /* record */
	uint64_t record_size;
	uint64_t records_at;
	uint64_t size;	     /* of the file */
	uint64_t pending;    /* bytes of the record that was read last, */
	uint64_t pending_at; /* and their offset */
	uint64_t released;   /* offset up to which memory was given back */
};

/*
 * Write a header with what the caller knows: n_connections, n_workers, frozen;
 * and a record.  Errors are for ferror(3) to tell.
 */
void state_write_header(FILE *out, const struct state_header *header);
void state_write_record(FILE *out, const struct saved *saved);

/*
 * Opens a state for reading, and checks it as a whole.  fd, a file in memory, is
 * the state's then, also after an error.
 *
 * Returns 0, or -EPROTONOSUPPORT for one that only newer versions can read,
 * -EBADMSG for what is no state, or another -errno.
 */
int state_open(struct state *s, int fd);

/* Reads the next record.  0, or -EBADMSG: there is none, or it was changed. */
int state_next(struct state *s, struct saved *saved);

/*
 * Reads the pending bytes of the record that was read last, and gives back the
 * memory of what is behind, a good part at a time.  0 or -EBADMSG.
 */
int state_read_pending(struct state *s, void *buffer);

/* May be called after an error, and twice. */
void state_close(struct state *s);

#endif
