#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "helper.h"

#define SEALED (F_SEAL_SHRINK | F_SEAL_WRITE)

#define REFUSED 2
#define CLOSED 3
#define WORKERS 2
#define N_COUNTERS (REFUSED + 1 + WORKERS * (CLOSED + 2))

/* A state with something of everything, as a writer lays it out. */
struct layout {
	struct state_header header;
	uint64_t counters[N_COUNTERS];
	struct state_source sources[2];
	struct state_record records[3];
	unsigned char pending[8];
};

static struct layout good;
static struct state s;

static void begin(void)
{
	good = (struct layout){
		.header = { .frozen = 5,
			    .n_refused = REFUSED,
			    .n_closed = CLOSED,
			    .n_workers = WORKERS,
			    .n_connections = 3,
			    .n_sources = 2 },
		.sources = { { { 1 }, 100 }, { { 2 }, 200 } },
		.records = { { .since = 10, .echoed = 11 },
			     { .since = 20, .pending = 3, .stalled = 1, .worker = 1 },
			     { .since = 30, .pending = 5, .stalled = 1, .unacknowledged = 7 } },
		.pending = "abcdefg",
	};
	for (uint64_t i = 0; i < N_COUNTERS; i++)
		good.counters[i] = 1000 + i;
}

TestSuite(state, .init = begin, .timeout = HELPER_TIMEOUT);

/* Opens a file of these bytes.  Returns as state_open(). */
static int open_with(const void *data, size_t size, int seals)
{
	int fd = memfd_create("state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	cr_assert_eq(write(fd, data, size), (ssize_t)size);
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
	r = state_open(&s, fd);
	cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC, "the descriptor is not the caller's any more");
	close(fd);
	return r;
}

static int open_bytes(const void *data, size_t size)
{
	return open_with(data, size, SEALED);
}

/* The header's constant part, by the writer itself. */
static void finish_header(struct state_header *header)
{
	FILE *out = fmemopen(header, sizeof(*header), "w");
	struct state_header counts = *header;

	cr_assert(out);
	state_write_header(out, &counts);
	cr_assert_eq(ferror(out), 0);
	fclose(out);
}

static int open_layout(struct layout layout)
{
	finish_header(&layout.header);
	return open_bytes(&layout, sizeof(layout));
}

static void check_nothing(void)
{
	static const struct state nothing;

	cr_assert_eq(memcmp(&s, &nothing, sizeof(s)), 0, "something is left after an error");
}

static void check_bad(struct layout layout, const char *what)
{
	cr_expect_eq(open_layout(layout), -EBADMSG, "%s", what);
	check_nothing();
}

/* What was written is what is read, at its place. */
TEST(state, round_trip)
{
	cr_assert_eq(open_layout(good), 0);
	cr_assert_eq(s.header.version, STATE_VERSION);
	cr_assert_eq(s.header.n_connections, 3);
	cr_assert_eq(s.header.frozen, 5);
	for (int i = 0; i <= REFUSED; i++)
		cr_assert_eq(s.refused[i], good.counters[i]);
	for (int i = 0; i < WORKERS * (CLOSED + 2); i++)
		cr_assert_eq(s.workers[i], good.counters[REFUSED + 1 + i]);
	cr_assert_eq(memcmp(s.sources, good.sources, sizeof(good.sources)), 0);
	cr_assert_eq(memcmp(s.records, good.records, sizeof(good.records)), 0);
	cr_assert_eq(memcmp(s.pending, good.pending, sizeof(good.pending)), 0);
	state_close(&s);
	check_nothing();
	state_close(&s);
}

/* Nothing at all is a state too. */
TEST(state, empty)
{
	struct {
		struct state_header header;
		uint64_t pauses;
	} empty = { .pauses = 7 };

	finish_header(&empty.header);
	cr_assert_eq(open_bytes(&empty, sizeof(empty)), 0);
	cr_assert_eq(s.refused[0], 7);
	state_close(&s);
}

/* A file that ends anywhere before its end is refused; so is one with a byte more. */
TEST(state, every_length)
{
	unsigned char bytes[sizeof(good) + 1] = { 0 };

	finish_header(&good.header);
	memcpy(bytes, &good, sizeof(good));
	for (size_t size = 0; size <= sizeof(bytes); size++) {
		int r = open_bytes(bytes, size);

		cr_expect_eq(r, size == sizeof(good) ? 0 : -EBADMSG, "%zu bytes: %d", size, r);
		state_close(&s);
	}
}

/* Reads all that a state points to, for the sanitizers to watch. */
static uint64_t read_all(void)
{
	uint64_t sum = 0, pending = 0;

	for (uint32_t i = 0; i <= s.header.n_refused; i++)
		sum += s.refused[i];
	for (uint32_t i = 0; i < s.header.n_workers * (s.header.n_closed + 2); i++)
		sum += s.workers[i];
	for (uint32_t i = 0; i < s.header.n_sources; i++)
		sum += s.sources[i].address[15] + (uint64_t)s.sources[i].due;
	for (uint32_t i = 0; i < s.header.n_connections; i++) {
		cr_assert_leq(s.records[i].stalled, 1);
		cr_assert(s.records[i].stalled || s.records[i].pending == 0);
		pending += s.records[i].pending;
	}
	for (uint64_t i = 0; i < pending; i++)
		sum += s.pending[i];
	cr_assert_eq((const char *)s.map + s.size, (const char *)s.pending + pending);
	return sum;
}

/* Whatever byte is changed, to whatever: it is refused, or all it says is within the file. */
TEST(state, every_byte)
{
	static const unsigned char masks[] = { 0x01, 0x02, 0x80, 0xff };
	unsigned char *bytes = (unsigned char *)&good;
	int refused = 0;

	finish_header(&good.header);
	for (size_t at = 0; at < sizeof(good); at++)
		for (size_t i = 0; i < sizeof(masks); i++) {
			int r;

			bytes[at] ^= masks[i];
			r = open_bytes(&good, sizeof(good));
			cr_assert(r == 0 || r == -EBADMSG || r == -EPROTONOSUPPORT, "%zu: %d", at,
				  r);
			if (r == 0)
				read_all();
			refused += r < 0;
			state_close(&s);
			bytes[at] ^= masks[i];
		}
	cr_assert_geq(refused, 4 * 32 - 4, "too few are refused: %d", refused);
}

/* Random bytes behind the magic do no harm. */
TEST(state, random_bytes)
{
	struct helper_random random = { 5 };
	unsigned char bytes[256];

	for (int i = 0; i < 20000; i++) {
		size_t size = 40 + helper_random(&random, sizeof(bytes) - 40);

		for (size_t k = 0; k < size; k++)
			bytes[k] = helper_random(&random, 3) ?
					   0 :
					   (unsigned char)helper_random(&random, 4);
		finish_header(&good.header);
		memcpy(bytes, &good.header, 12);
		if (open_bytes(bytes, size) == 0)
			read_all();
		state_close(&s);
	}
}

/* The same without sources and the end of the header.  Returns its size. */
static size_t lay_out_old(unsigned char *old)
{
	size_t header = offsetof(struct state_header, frozen);
	size_t records = sizeof(good) - offsetof(struct layout, records);

	memcpy(old, &good, header);
	memcpy(old + header, good.counters, sizeof(good.counters));
	memcpy(old + header + sizeof(good.counters), good.records, records);
	return header + sizeof(good.counters) + records;
}

/* An older version is read, nothing else is. */
TEST(state, version)
{
	unsigned char old[sizeof(good)];

	finish_header(&good.header);
	good.header.version = STATE_VERSION + 1;
	cr_assert_eq(open_bytes(&good, sizeof(good)), -EPROTONOSUPPORT);
	check_nothing();
	good.header.version = UINT32_MAX;
	cr_assert_eq(open_bytes(&good, sizeof(good)), -EPROTONOSUPPORT);
	good.header.version = 0;
	cr_assert_eq(open_bytes(&good, sizeof(good)), -EBADMSG);
	good.header.version = 1;
	cr_assert_eq(open_bytes(&good, sizeof(good)), -EBADMSG, "version 1 had no sources");
	good.header.n_sources = 0;
	cr_assert_eq(open_bytes(old, lay_out_old(old)), 0);
	cr_assert_eq(s.header.frozen, 0);
	cr_assert_eq(s.refused[0], good.counters[0]);
	cr_assert_eq(s.records[2].unacknowledged, 7);
	state_close(&s);
}

/* Whose magic is wrong is no state, whatever its version. */
TEST(state, magic)
{
	finish_header(&good.header);
	good.header.version = STATE_VERSION + 1;
	good.header.magic[7] = 'x';
	cr_assert_eq(open_bytes(&good, sizeof(good)), -EBADMSG);
}

/* No count makes a size overflow. */
TEST(state, counts)
{
	static const uint32_t counts[] = { 0, 1, 4, 65535, 65536, INT32_MAX, 1u << 31, UINT32_MAX };

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct layout layout = good;

		layout.header.n_connections = counts[i];
		check_bad(layout, "n_connections");
		layout = good;
		layout.header.n_sources = counts[i];
		check_bad(layout, "n_sources");
		layout = good;
		layout.header.n_workers = counts[i];
		check_bad(layout, "n_workers");
		layout = good;
		layout.header.n_closed = counts[i];
		check_bad(layout, "n_closed");
		layout = good;
		layout.header.n_refused = counts[i];
		check_bad(layout, "n_refused");
	}
}

/* Pending bytes belong to those who are stalled, and are as many as there are. */
TEST(state, pending)
{
	struct layout layout = good;

	layout.records[1].stalled = 0;
	check_bad(layout, "pending, and not stalled");
	layout.records[1].stalled = 2;
	check_bad(layout, "stalled is 0 or 1");
	layout = good;
	layout.records[1].pending++;
	check_bad(layout, "one more");
	layout.records[1].pending -= 2;
	check_bad(layout, "one fewer");
	layout.records[1].pending = UINT64_MAX;
	check_bad(layout, "very many");
	layout.records[2].pending = 9; /* the sum is 8 again */
	check_bad(layout, "a sum that wraps");
}

/* What others could change is not read: both seals are needed. */
TEST(state, seals)
{
	finish_header(&good.header);
	cr_assert_eq(open_with(&good, sizeof(good), 0), -EBADMSG);
	cr_assert_eq(open_with(&good, sizeof(good), F_SEAL_SHRINK), -EBADMSG);
	cr_assert_eq(open_with(&good, sizeof(good), F_SEAL_WRITE), -EBADMSG);
	cr_assert_eq(open_with(&good, sizeof(good), SEALED | F_SEAL_GROW | F_SEAL_SEAL), 0);
	state_close(&s);
}

/* What is no file in memory is no state, and is left open. */
TEST(state, other_descriptors)
{
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	cr_assert_eq(state_open(&s, fds[0]), -EBADMSG);
	check_nothing();
	cr_assert_geq(fcntl(fds[0], F_GETFD), 0);
	cr_assert_eq(state_open(&s, -1), -EBADMSG);
	check_nothing();
	close(fds[0]);
	close(fds[1]);
}
