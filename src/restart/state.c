/* SPDX-License-Identifier: MIT */
#include "restart/state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/counters.h"

static const char magic[8] = "echodst";

/* A record is read as a whole, however much of it is known. */
#define RECORD_MAX 4096

/* So much memory is given back at once. */
#define RELEASE_SIZE (1 << 20)

_Static_assert(sizeof(struct state_header) == 40, "no padding, and as version 2 had it");

void state_write_header(FILE *out, const struct state_header *known)
{
	struct state_header header = *known;

	memcpy(header.magic, magic, sizeof(magic));
	header.version = STATE_VERSION;
	header.readable_since = STATE_READABLE_SINCE;
	header.records_at = sizeof(header);
	header.record_size = sizeof(struct saved);
	fwrite(&header, sizeof(header), 1, out);
}

void state_write_record(FILE *out, const struct saved *saved)
{
	fwrite(saved, sizeof(*saved), 1, out);
}

/*
 * Version 2, that of 0.1.0, had counters and sources before its records, and
 * their numbers in the places of other fields; see the header.
 */
static int lay_out_2(struct state *s, const struct state_header *h)
{
	uint64_t refused = h->readable_since, closed = h->records_at, workers = h->record_size;
	uint64_t sources = h->n_workers;

	if (refused > UINT16_MAX || closed > UINT16_MAX || workers > UINT16_MAX)
		return -EBADMSG;
	s->record_size = sizeof(struct saved);
	s->records_at = sizeof(*h) + 8 * (refused + 1) + 8 * workers * (closed + 2) + 24 * sources;
	s->n_workers = h->record_size;
	return 0;
}

static int lay_out(struct state *s, const struct state_header *h)
{
	if (memcmp(h->magic, magic, sizeof(magic)) != 0 || h->version < 2)
		return -EBADMSG;
	if (h->version == 2)
		return lay_out_2(s, h);
	if (h->readable_since > h->version || h->readable_since < 3)
		return -EBADMSG;
	if (h->readable_since > STATE_VERSION)
		return -EPROTONOSUPPORT;
	s->record_size = h->record_size;
	s->records_at = h->records_at;
	s->n_workers = h->n_workers;
	if (s->records_at < sizeof(*h) || s->record_size < sizeof(struct saved) ||
	    s->record_size > RECORD_MAX)
		return -EBADMSG;
	return 0;
}

/* Goes to the first record. */
static int rewind_to_records(struct state *s)
{
	s->next = 0;
	s->pending = 0;
	s->pending_at = s->released = s->records_at + s->n_connections * s->record_size;
	return fseeko(s->in, (off_t)s->records_at, SEEK_SET) < 0 ? -errno : 0;
}

/* The pending bytes must be just as many as the records claim. */
static int check_records(struct state *s)
{
	struct saved saved;

	for (uint32_t i = 0; i < s->n_connections; i++)
		if (state_next(s, &saved) < 0)
			return -EBADMSG;
	return s->pending_at + s->pending == s->size ? 0 : -EBADMSG;
}

static int read_header(struct state *s)
{
	struct state_header header;
	struct stat st;
	int r;

	if (fstat(fileno(s->in), &st) < 0 || fseeko(s->in, 0, SEEK_SET) < 0)
		return -errno;
	if (fread(&header, sizeof(header), 1, s->in) != 1)
		return -EBADMSG;
	r = lay_out(s, &header);
	if (r < 0)
		return r;
	s->size = (uint64_t)st.st_size;
	if (s->records_at > s->size ||
	    header.n_connections > (s->size - s->records_at) / s->record_size)
		return -EBADMSG;
	s->n_connections = header.n_connections;
	s->frozen = header.frozen;
	r = rewind_to_records(s);
	if (r == 0)
		r = check_records(s);
	return r < 0 ? r : rewind_to_records(s);
}

int state_open(struct state *s, int fd)
{
	int r;

	memset(s, 0, sizeof(*s));
	/* Files in memory have seals; any other might be slow to read, or never end. */
	s->in = fcntl(fd, F_GET_SEALS) < 0 ? NULL : fdopen(fd, "r");
	if (!s->in) {
		close(fd);
		return -EBADMSG;
	}
	r = read_header(s);
	if (r < 0)
		state_close(s);
	return r;
}

int state_next(struct state *s, struct saved *saved)
{
	unsigned char bytes[RECORD_MAX];

	if (s->next == s->n_connections || fread(bytes, (size_t)s->record_size, 1, s->in) != 1)
		return -EBADMSG;
	memcpy(saved, bytes, sizeof(*saved));
	s->next++;
	s->pending_at += s->pending;
	s->pending = 0;
	if (saved->stalled > 1 + CLOSINGS || saved->pending > s->size - s->pending_at ||
	    saved->pending > PTRDIFF_MAX / 2 || (saved->pending > 0 && saved->stalled != 1))
		return -EBADMSG;
	s->pending = saved->pending;
	return 0;
}

int state_read_pending(struct state *s, void *buffer)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	uint64_t end = s->pending_at + s->pending;

	for (uint64_t at = s->pending_at; at < end;) {
		ssize_t n = pread(fileno(s->in), buffer, (size_t)(end - at), (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EBADMSG;
		at += (uint64_t)n;
		buffer = (unsigned char *)buffer + n;
	}
	if (end - s->released >= RELEASE_SIZE) { /* of version 2 it is sealed, and stays */
		(void)fallocate(fileno(s->in), punch, (off_t)s->released,
				(off_t)(end - s->released));
		s->released = end;
	}
	return 0;
}

void state_close(struct state *s)
{
	if (s->in)
		fclose(s->in);
	memset(s, 0, sizeof(*s));
}
