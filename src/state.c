#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static const char magic[8] = "echodst";

/* Whatever is larger is not ours: descriptors have an int. */
#define COUNT_MAX INT_MAX

/* The header of version 1, of which the others are longer. */
#define HEADER_1 offsetof(struct state_header, frozen)

static size_t header_size(uint32_t version)
{
	return version == 1 ? HEADER_1 : sizeof(struct state_header);
}

_Static_assert(sizeof(struct state_header) == 40, "no padding, and a multiple of 8");
_Static_assert(sizeof(struct state_source) == 24, "no padding, and a multiple of 8");
_Static_assert(sizeof(struct state_record) == 32, "no padding, and a multiple of 8");

void state_write_header(FILE *out, const struct state_header *counts)
{
	struct state_header header = *counts;

	memcpy(header.magic, magic, sizeof(magic));
	header.version = STATE_VERSION;
	fwrite(&header, header_size(STATE_VERSION), 1, out);
}

/* 0 if the file cannot change under us, and is as large as it says. */
static int check_file(int fd, size_t *size)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || !(seals & F_SEAL_WRITE))
		return -EBADMSG;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)HEADER_1)
		return -EBADMSG;
	*size = (size_t)st.st_size;
	return 0;
}

static int check_header(const struct state_header *h)
{
	if (memcmp(h->magic, magic, sizeof(magic)) != 0 || h->version == 0)
		return -EBADMSG;
	if (h->version > STATE_VERSION)
		return -EPROTONOSUPPORT;
	if (h->n_refused > REFUSALS || h->n_closed > CLOSINGS)
		return -EBADMSG;
	if (h->n_workers > UINT16_MAX || h->n_connections > COUNT_MAX || h->n_sources > COUNT_MAX)
		return -EBADMSG;
	return h->version == 1 && h->n_sources > 0 ? -EBADMSG : 0;
}

/* The next n bytes of the file, or NULL if there are not so many. */
static const void *take(const struct state *s, size_t *offset, size_t n)
{
	const unsigned char *at = (const unsigned char *)s->map + *offset;

	if (n > s->size - *offset)
		return NULL;
	*offset += n;
	return at;
}

/* The pending bytes must be just as many as the records claim. */
static int check_records(const struct state *s, size_t left)
{
	for (uint32_t i = 0; i < s->header.n_connections; i++) {
		const struct state_record *r = &s->records[i];

		if (r->stalled > 1 || (r->pending > 0 && !r->stalled) || r->pending > left)
			return -EBADMSG;
		left -= r->pending;
	}
	return left == 0 ? 0 : -EBADMSG;
}

static int lay_out(struct state *s)
{
	const struct state_header *h = &s->header;
	size_t at = header_size(h->version);
	const size_t u64 = sizeof(uint64_t);

	s->refused = take(s, &at, (h->n_refused + (size_t)1) * u64);
	s->workers = take(s, &at, (size_t)h->n_workers * (h->n_closed + (size_t)2) * u64);
	s->sources = take(s, &at, h->n_sources * sizeof(struct state_source));
	s->records = take(s, &at, h->n_connections * sizeof(struct state_record));
	s->pending = take(s, &at, 0);
	if (!s->refused || !s->workers || !s->sources || !s->records)
		return -EBADMSG;
	return check_records(s, s->size - at);
}

int state_open(struct state *s, int fd)
{
	int r;

	memset(s, 0, sizeof(*s));
	r = check_file(fd, &s->size);
	if (r < 0)
		return r;
	s->map = mmap(NULL, s->size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (s->map == MAP_FAILED) {
		s->map = NULL;
		return -errno;
	}
	memcpy(&s->header, s->map, HEADER_1);
	r = check_header(&s->header);
	if (r == 0 && header_size(s->header.version) > s->size)
		r = -EBADMSG;
	if (r == 0) {
		memcpy(&s->header, s->map, header_size(s->header.version));
		r = lay_out(s);
	}
	if (r < 0)
		state_close(s);
	return r;
}

void state_close(struct state *s)
{
	if (s->map)
		munmap(s->map, s->size);
	memset(s, 0, sizeof(*s));
}
