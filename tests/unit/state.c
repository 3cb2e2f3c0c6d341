/* SPDX-License-Identifier: MIT */
#include "restart/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/counters.h"
#include "helper.h"

#define N 3
#define PENDING "abcdefgh"

/* A state as a writer lays it out. */
struct layout {
	struct state_header header;
	struct saved records[N];
	char pending[8];
};

/* The same as 0.1.0 wrote it: three numbers have other names, and there is more. */
struct layout_2 {
	struct state_header header;
	uint64_t counters[2 + 1 + 4 * (3 + 2)];
	unsigned char sources[5][24];
	struct saved records[N];
	char pending[8];
};

static const struct saved records[N] = {
	{ .since = 10, .echoed = 11 },
	{ .since = 20, .pending = 3, .stalled = 1, .worker = 1 },
	{ .since = 30, .pending = 5, .stalled = 1, .unacknowledged = 7 },
};
static struct layout good;
static struct layout_2 old;
static struct state s;

/* The header by the writer itself. */
static void write_header(struct state_header *header)
{
	FILE *out = fmemopen(header, sizeof(*header), "w");
	struct state_header known = { .n_connections = N, .n_workers = 4, .frozen = 5 };

	cr_assert(out);
	state_write_header(out, &known);
	cr_assert_eq(ferror(out), 0);
	fclose(out);
}

static void begin(void)
{
	write_header(&good.header);
	memcpy(good.records, records, sizeof(records));
	memcpy(good.pending, PENDING, sizeof(good.pending));
	memset(&old, 0xff, sizeof(old));
	old.header = good.header;
	old.header.version = 2;
	old.header.readable_since = 2; /* reasons to refuse */
	old.header.records_at = 3;     /* reasons to close */
	old.header.record_size = 4;    /* workers */
	old.header.n_workers = 5;      /* sources */
	memcpy(old.records, records, sizeof(records));
	memcpy(old.pending, PENDING, sizeof(old.pending));
}

TestSuite(state, .init = begin, .timeout = HELPER_TIMEOUT);

static int open_bytes(const void *data, size_t size)
{
	return state_open(&s, helper_memory_file(data, size));
}

static void check_nothing(void)
{
	static const struct state nothing;

	cr_assert_eq(memcmp(&s, &nothing, sizeof(s)), 0, "something is left after an error");
}

static void check_bad(const void *data, size_t size, const char *what)
{
	cr_expect_eq(open_bytes(data, size), -EBADMSG, "%s", what);
	check_nothing();
}

/* Reads it to its end: it has what was written. */
static void check_all(void)
{
	struct saved record;
	const char *expected = PENDING;
	char bytes[8];

	cr_assert_eq(s.n_connections, N);
	cr_assert_eq(s.n_workers, 4);
	cr_assert_eq(s.frozen, 5);
	for (int i = 0; i < N; i++) {
		cr_assert_eq(state_next(&s, &record), 0);
		cr_assert_eq(memcmp(&record, &records[i], sizeof(record)), 0);
		cr_assert_eq(state_read_pending(&s, bytes), 0);
		cr_assert_eq(memcmp(bytes, expected, (size_t)record.pending), 0);
		expected += record.pending;
	}
	cr_assert_eq(state_next(&s, &record), -EBADMSG);
	state_close(&s);
	check_nothing();
	state_close(&s);
}

/* What was written is what is read; a file that ends before its end, or after it, is refused. */
TEST(state, round_trip)
{
	unsigned char bytes[sizeof(good) + 1] = { 0 };

	memcpy(bytes, &good, sizeof(good));
	for (size_t size = 0; size <= sizeof(bytes); size++)
		if (size != sizeof(good))
			check_bad(bytes, size, "of another size");
	cr_assert_eq(open_bytes(&good, sizeof(good)), 0);
	check_all();
	good.header.n_connections = 0;
	cr_assert_eq(open_bytes(&good, sizeof(good.header)), 0);
	cr_assert_eq(state_next(&s, &(struct saved){ 0 }), -EBADMSG);
	state_close(&s);
}

/* What 0.1.0 wrote is understood, whatever its counters are. */
TEST(state, first_version)
{
	cr_assert_eq(open_bytes(&old, sizeof(old)), 0);
	check_all();
	for (size_t size = 0; size < sizeof(old); size++)
		check_bad(&old, size, "too short");
	for (size_t at = offsetof(struct state_header, readable_since);
	     at < offsetof(struct state_header, frozen); at += sizeof(uint32_t)) {
		struct layout_2 layout = old;

		memset((char *)&layout + at, 0xff, sizeof(uint32_t));
		check_bad(&layout, sizeof(layout), "numbers that lead outside");
	}
}

/* Of a later version what is not known is skipped, as long as it says that it may be. */
TEST(state, later_version)
{
	struct {
		struct state_header header;
		char section[100];
		struct {
			struct saved record;
			char field[17];
		} __attribute__((packed)) records[N];
		char pending[8];
	} __attribute__((packed)) later = { .header = good.header };

	memcpy(later.pending, PENDING, sizeof(later.pending));
	later.header.version = UINT32_MAX;
	later.header.records_at = sizeof(later.header) + sizeof(later.section);
	later.header.record_size = sizeof(later.records[0]);
	for (int i = 0; i < N; i++)
		later.records[i].record = records[i];
	cr_assert_eq(open_bytes(&later, sizeof(later)), 0);
	check_all();
	later.header.readable_since = STATE_VERSION + 1;
	cr_assert_eq(open_bytes(&later, sizeof(later)), -EPROTONOSUPPORT);
	check_nothing();
}

/* A header or a record that contradicts the rest, or itself. */
TEST(state, contradictions)
{
	static const struct {
		const char *what;
		size_t at, size;
		uint64_t value;
	} rows[] = {
#define ROW(member, value, what) \
	{ what, offsetof(struct layout, member), sizeof(good.member), value }
		ROW(header.version, 0, "a version that was never released"),
		ROW(header.version, 1, "a version that was never released"),
		ROW(header.readable_since, 0, "older than this layout"),
		ROW(header.readable_since, 2, "older than this layout"),
		ROW(header.readable_since, STATE_VERSION + 1, "newer than itself"),
		ROW(header.magic[7], 'x', "another magic"),
		ROW(header.records_at, 39, "records within the header"),
		ROW(header.records_at, UINT32_MAX, "records behind the end"),
		ROW(header.record_size, 31, "records that are too small"),
		ROW(header.record_size, UINT32_MAX, "records that are too large"),
		ROW(header.n_connections, N - 1, "fewer connections"),
		ROW(header.n_connections, UINT32_MAX, "very many connections"),
		ROW(records[1].stalled, 0, "pending, and not stalled"),
		ROW(records[1].stalled, 2, "pending, and only its end is not acknowledged"),
		ROW(records[0].stalled, CLOSINGS + 2, "no such reason"),
		ROW(records[1].pending, 4, "one byte more"),
		ROW(records[1].pending, 2, "one byte fewer"),
		ROW(records[1].pending, UINT64_MAX, "very many bytes"),
#undef ROW
	};

	cr_assert_eq(good.header.version, STATE_VERSION);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct layout layout = good;

		memcpy((char *)&layout + rows[i].at, &rows[i].value, rows[i].size);
		check_bad(&layout, sizeof(layout), rows[i].what);
	}
	good.records[1].pending = UINT64_MAX;
	good.records[2].pending = 9;
	check_bad(&good, sizeof(good), "a sum that wraps to what is there");
	good.header.version = good.header.readable_since = STATE_VERSION + 1;
	good.header.magic[7] = 'x';
	check_bad(&good, sizeof(good), "another magic, of a later version");
}

/* What is changed after it was checked is checked again. */
TEST(state, changed)
{
	static struct {
		struct state_header header;
		struct saved records[1000];
		char pending[1000];
	} many;
	struct saved record;
	int fd, copy;
	char byte;

	many.header = good.header;
	many.header.n_connections = 1000;
	for (int i = 0; i < 1000; i++)
		many.records[i] = (struct saved){ .stalled = 1, .pending = 1 };
	fd = helper_memory_file(&many, sizeof(many));
	copy = dup(fd);
	cr_assert_eq(state_open(&s, fd), 0);
	cr_assert_eq(state_next(&s, &record), 0);
	many.records[999].pending = 2;
	cr_assert_eq(pwrite(copy, &many, sizeof(many), 0), (ssize_t)sizeof(many));
	cr_assert_eq(ftruncate(copy, sizeof(many) - 500), 0);
	cr_assert_eq(state_read_pending(&s, &byte), 0);
	for (int i = 1; i < 999; i++) {
		cr_assert_eq(state_next(&s, &record), 0);
		cr_assert_eq(state_read_pending(&s, &byte), i < 500 ? 0 : -EBADMSG);
	}
	cr_assert_eq(state_next(&s, &record), -EBADMSG);
	state_close(&s);
	close(copy);
}

/* What was read is given back while the rest is read. */
TEST(state, memory)
{
	enum { BIG = 1 << 20, COUNT = 8 };
	static char bytes[BIG];
	struct state_header header = good.header;
	struct saved record = { .stalled = 1, .pending = BIG };
	int fd = memfd_create("state", MFD_CLOEXEC), copy = dup(fd);
	struct stat st;

	header.n_connections = COUNT;
	cr_assert_eq(write(fd, &header, sizeof(header)), (ssize_t)sizeof(header));
	for (int i = 0; i < COUNT; i++)
		cr_assert_eq(write(fd, &record, sizeof(record)), (ssize_t)sizeof(record));
	for (int i = 0; i < COUNT; i++)
		cr_assert_eq(write(fd, memset(bytes, i, BIG), BIG), BIG);
	cr_assert_eq(state_open(&s, fd), 0);
	for (int i = 0; i < COUNT; i++) {
		cr_assert_eq(state_next(&s, &record), 0);
		cr_assert_eq(state_read_pending(&s, bytes), 0);
		cr_assert_eq(bytes[0], i);
		cr_assert_eq(bytes[BIG - 1], i);
		cr_assert_eq(fstat(copy, &st), 0);
		cr_assert_leq(st.st_blocks * 512, (COUNT - i) * BIG, "after %d", i);
	}
	state_close(&s);
	close(copy);
}

/* What is no file in memory is no state. */
TEST(state, other_descriptors)
{
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(state_open(&s, fds[0]), -EBADMSG);
	check_nothing();
	cr_assert_eq(fcntl(fds[0], F_GETFD), -1, "it is left open");
	cr_assert_eq(state_open(&s, -1), -EBADMSG);
	check_nothing();
	close(fds[1]);
}
