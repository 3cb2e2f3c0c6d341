/* SPDX-License-Identifier: MIT */
#include "restart/fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper.h"

#define MAX 2000

/* What came out, in order. */
static struct {
	uint32_t numbers[MAX];
	int fds[MAX];
	size_t n;
} out;

TestSuite(fdpass, .timeout = HELPER_TIMEOUT);

static void take(void *context, uint32_t number, int fd)
{
	cr_assert_eq(context, &out);
	cr_assert_lt(out.n, MAX);
	out.numbers[out.n] = number;
	out.fds[out.n++] = fd;
}

static void unpack(int carrier)
{
	out.n = 0;
	fdpass_unpack(carrier, take, &out);
}

static void close_out(void)
{
	for (size_t i = 0; i < out.n; i++)
		close(out.fds[i]);
}

static void make_pair(int type, int fds[2])
{
	cr_assert_eq(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static bool same(int a, int b)
{
	struct stat x, y;

	cr_assert_eq(fstat(a, &x), 0);
	cr_assert_eq(fstat(b, &y), 0);
	return x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

/* Sends these bytes and descriptors. */
static void send_message(int to, const void *data, size_t size, const int *fds, size_t n)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(n * sizeof(int)),
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { (void *)(uintptr_t)data, size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n > 0) {
		memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
	}
	cr_assert_eq(sendmsg(to, &m, 0), (ssize_t)size);
}

/* So many sockets come out as they went in, whatever fits into one message. */
static void check_round_trip(size_t n, uint32_t first)
{
	static int fds[MAX];
	unsigned before = helper_count_descriptors();
	size_t packed;
	int carrier;

	for (size_t i = 0; i < n; i++)
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
	carrier = fdpass_pack(fds, n, first, &packed);
	cr_assert_geq(carrier, 0);
	cr_assert(fcntl(carrier, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(packed, n);
	unpack(carrier);
	cr_assert_eq(out.n, n);
	for (size_t i = 0; i < n; i++) {
		cr_assert_eq(out.numbers[i], first + i);
		cr_assert(same(out.fds[i], fds[i]));
		cr_assert(fcntl(out.fds[i], F_GETFD) & FD_CLOEXEC);
		close(fds[i]);
	}
	close_out();
	close(carrier);
	cr_assert_eq(helper_count_descriptors(), before);
}

/* None, one, and the edges of a message. */
TEST(fdpass, round_trip)
{
	static const size_t sizes[] = { 0, 1, 2, 252, 253, 254, 506, 507 };

	for (size_t i = 0; i < COUNT(sizes); i++)
		check_round_trip(sizes[i], i % 2 ? 0 : 1000000);
}

/* The sockets stay open in the carrier after the sender has closed them, and come out once. */
TEST(fdpass, holds)
{
	int fds[2], carrier;
	size_t packed;
	char c;

	make_pair(SOCK_STREAM, fds);
	carrier = fdpass_pack(&fds[1], 1, 0, &packed);
	cr_assert_geq(carrier, 0);
	close(fds[1]);
	cr_assert_eq(send(fds[0], "x", 1, MSG_NOSIGNAL), 1);
	unpack(carrier);
	cr_assert_eq(out.n, 1);
	cr_assert_eq(recv(out.fds[0], &c, 1, 0), 1);
	close_out();
	unpack(carrier);
	cr_assert_eq(out.n, 0);
	close(carrier);
	close(fds[0]);
}

/* A bad descriptor ends the packing: what went before is in it, and is counted. */
TEST(fdpass, bad_descriptor)
{
	int fds[300], carrier;
	size_t packed;
	unsigned before = helper_count_descriptors();

	for (size_t i = 0; i < 300; i++)
		fds[i] = i < 299 ? 0 : -1;
	carrier = fdpass_pack(fds, 300, 0, &packed);
	cr_assert_geq(carrier, 0);
	cr_assert_eq(packed, 253);
	unpack(carrier);
	cr_assert_eq(out.n, 253);
	close_out();
	close(carrier);
	cr_assert_eq(fdpass_pack(&fds[299], 1, 0, &packed), -EBADF);
	cr_assert_eq(packed, 0);
	cr_assert_eq(helper_count_descriptors(), before);
}

/* More than the kernel has under way for one user: some go, and how many is said. */
TEST(fdpass, full)
{
	static int fds[MAX];
	size_t packed;
	int carrier;

	for (size_t i = 0; i < MAX; i++)
		fds[i] = 0;
	carrier = fdpass_pack(fds, MAX, 0, &packed);
	cr_assert_geq(carrier, 0);
	cr_assert_gt(packed, 0);
	cr_assert_leq(packed, MAX);
	unpack(carrier);
	cr_assert_eq(out.n, packed);
	close_out();
	close(carrier);
}

/* A number of any size is handed on, and counts on from there. */
TEST(fdpass, numbers)
{
	static const uint32_t first[] = { 0, 7, INT32_MAX, UINT32_MAX - 1 };
	const int both[] = { 0, 0 };
	int fds[2];

	make_pair(SOCK_SEQPACKET, fds);
	for (size_t i = 0; i < 4; i++)
		send_message(fds[0], &first[i], sizeof(first[i]), both, 2);
	unpack(fds[1]);
	cr_assert_eq(out.n, 8);
	for (size_t i = 0; i < 4; i++) {
		cr_assert_eq(out.numbers[2 * i], first[i]);
		cr_assert_eq(out.numbers[2 * i + 1], first[i] + 1);
	}
	close_out();
	close(fds[0]);
	close(fds[1]);
}

/* It never waits, with an end that is open or none; and what is no carrier has nothing in it. */
TEST(fdpass, nothing)
{
	int fds[2];

	make_pair(SOCK_SEQPACKET, fds);
	cr_assert_eq(fcntl(fds[1], F_SETFL, 0), 0); /* it blocks */
	unpack(fds[1]);
	cr_assert_eq(out.n, 0);
	close(fds[0]);
	unpack(fds[1]);
	cr_assert_eq(out.n, 0);
	close(fds[1]);
	cr_assert_eq(pipe(fds), 0);
	unpack(fds[0]);
	unpack(-1);
	cr_assert_eq(out.n, 0);
	close(fds[0]);
	close(fds[1]);
}
