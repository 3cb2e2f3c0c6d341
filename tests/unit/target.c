/* SPDX-License-Identifier: MIT */
#include "echoc/target.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "helper.h"

TestSuite(target, .timeout = HELPER_TIMEOUT);

/* Addresses stand for themselves, with port 7 if none is given; the other family is refused. */
TEST(target, numeric)
{
	static const struct {
		const char *text, *name;
		int family;
	} rows[] = {
		{ "127.0.0.1", "127.0.0.1:7", AF_INET },
		{ "192.0.2.1:65535", "192.0.2.1:65535", AF_INET },
		{ "[::1]", "[::1]:7", AF_INET6 },
		{ "[2001:db8::7]:8", "[2001:db8::7]:8", AF_INET6 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		int other = rows[i].family == AF_INET ? AF_INET6 : AF_INET;
		const int families[] = { AF_UNSPEC, rows[i].family };
		struct target target;
		const char *reason;
		char buffer[ADDRESS_TEXT];

		for (int k = 0; k < 2; k++) {
			cr_assert_eq(target_resolve(&target, rows[i].text, families[k], &reason),
				     0);
			cr_assert_eq(target.n, 1);
			cr_assert_str_eq(address_format(&target.addresses[0], buffer),
					 rows[i].name);
			cr_assert_str_eq(target.name, rows[i].name);
		}
		cr_assert_eq(target_resolve(&target, rows[i].text, other, &reason), -EINVAL);
	}
}

/* What is no target is refused, with a reason. */
TEST(target, refusals)
{
	static const char *const texts[] = { /* no host, no port, or not one of each */
					     "",
					     ":",
					     ":7",
					     "127.0.0.1:",
					     "::1",
					     "[::1",
					     "[]:7",
					     "[]",
					     "[::1]x",
					     "[::1]:",
					     "a:7:7",
					     "[::1]:7:7",
					     "127.0.0.1:x y",
					     "127.0.0.1:65536",
					     "127.0.0.1:+7",
					     "127.0.0.1: 7",
					     "127.0.0.1:-1",
					     "127.0.0.1:0",
					     "caf\xe9",
					     "[::g]:7"
	};
	static char too_long[1000];
	struct target target;
	const char *reason;

	for (size_t i = 0; i < COUNT(texts); i++) {
		reason = NULL;
		cr_expect_eq(target_resolve(&target, texts[i], AF_UNSPEC, &reason), -EINVAL, "%s",
			     texts[i]);
		cr_expect(reason && *reason, "%s", texts[i]);
	}
	for (size_t n = 250; n < sizeof(too_long); n++) {
		memset(too_long, 'x', n);
		cr_assert_eq(target_resolve(&target, too_long, AF_UNSPEC, &reason), -EINVAL);
	}
}

/* Of the first address that answers; it does not block, delay, lose urgent data, or outlive exec.
 */
TEST(target, connect)
{
	struct target target = { .n = 2 };
	struct address peer;
	int dead = helper_listen(&target.addresses[0], -1);
	int listener = helper_listen(&target.addresses[1], 1);
	int fd = target_connect(&target, 10000, &peer);

	cr_assert_geq(fd, 0);
	cr_assert(address_equal(&peer, &target.addresses[1]));
	cr_assert(helper_get(fd, IPPROTO_TCP, TCP_NODELAY));
	cr_assert(helper_get(fd, SOL_SOCKET, SO_OOBINLINE));
	cr_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	close(listener);
	close(dead);
}

/* Without a listener it is refused, and no descriptor remains. */
TEST(target, refused)
{
	struct target target = { .n = 1 };
	struct address peer;
	int dead = helper_listen(&target.addresses[0], -1), fd;
	unsigned before = helper_count_descriptors();

	cr_assert_eq(target_connect(&target, 10000, &peer), -ECONNREFUSED);
	cr_assert_eq(helper_count_descriptors(), before);
	fd = target_begin(&target.addresses[0], NULL);
	cr_assert_geq(fd, 0);
	helper_wait(fd, POLLOUT);
	cr_assert_eq(target_finish(fd), -ECONNREFUSED);
	close(fd);
	close(dead);
}

/* No address at all is an error, not a success. */
TEST(target, none)
{
	struct target target = { .n = 0 };
	struct address peer;

	cr_assert_eq(target_connect(&target, 10000, &peer), -ENOENT);
}

/* A listener whose queue is full is silent: the connect ends by its timeout. */
TEST(target, timeout)
{
	struct target target = { .n = 1 };
	struct address peer;
	int listener = helper_listen(&target.addresses[0], 0);
	int fds[16], n = 0, r;
	unsigned before;

	for (r = 0; n < 16 && r >= 0; n += r >= 0)
		r = fds[n] = target_connect(&target, 300, &peer);
	cr_assert_eq(r, -ETIMEDOUT);
	before = helper_count_descriptors();
	cr_assert_eq(target_connect(&target, 1, &peer), -ETIMEDOUT);
	cr_assert_eq(helper_count_descriptors(), before);
	while (n > 0)
		close(fds[--n]);
	close(listener);
}

/* The source is that which was asked for, with a port of the kernel's choice. */
TEST(target, source)
{
	struct address to, source = helper_address("127.0.0.99:0"),
			   here = { .size = sizeof(here.v6) };
	int listener = helper_listen(&to, 1);
	int fd = target_begin(&to, &source);

	cr_assert_geq(fd, 0);
	helper_wait(fd, POLLOUT);
	cr_assert_eq(target_finish(fd), 0);
	cr_assert_eq(getsockname(fd, &here.any, &here.size), 0);
	cr_assert_eq(here.v4.sin_addr.s_addr, source.v4.sin_addr.s_addr);
	cr_assert_neq(address_port(&here), 0);
	close(fd);
	close(listener);
}

/* A source that is not this machine's is an error, and no descriptor remains. */
TEST(target, foreign_source)
{
	struct address to, source = helper_address("192.0.2.1:0");
	int listener = helper_listen(&to, 1);
	unsigned before = helper_count_descriptors();

	cr_assert_eq(target_begin(&to, &source), -EADDRNOTAVAIL);
	cr_assert_eq(helper_count_descriptors(), before);
	close(listener);
}

/* A self-connect is no echo.  A socket that is bound to its own target always does it. */
TEST(target, itself)
{
	struct address to;
	int fd = helper_listen(&to, -1);

	cr_assert_eq(connect(fd, &to.any, to.size), 0);
	cr_assert_eq(target_finish(fd), -ELOOP);
	close(fd);
}
