/* SPDX-License-Identifier: MIT */
/*
 * listener and listen.  All bind to port 0 of the loopback, so that any
 * number of these tests can run at a time.
 */
#include "listen/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conf/conf.h"
#include "helper.h"

static struct conf conf;
static const struct listeners none;
static const struct activation nothing;

static void begin(void)
{
	struct conf_source source = { .path = NULL };
	struct problems problems;

	cr_assert_eq(conf_load(&conf, &source, &problems), 0);
	conf.n_listen = 0;
	helper_catch(STDERR_FILENO);
}

TestSuite(listeners, .init = begin, .timeout = HELPER_TIMEOUT);

static void listen_on(const char *text)
{
	conf.listen[conf.n_listen++] = helper_address(text);
}

static struct listener open_one(const char *text)
{
	struct address address = helper_address(text);
	struct listener listener;
	int r = listener_open(&listener, &address, address_port(&address), &conf);

	if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)
		cr_skip_test("%s is not available", text);
	cr_assert_eq(r, 0, "%s: %s", text, strerror(-r));
	return listener;
}

/* Opens the configured addresses as the only ones. */
static void start(struct listeners *set)
{
	cr_assert_eq(listen_start(set, &nothing, &conf, false), 0);
}

/* What one connection from this listener on has for an option. */
static int get_accepted(const struct listener *listener, int level, int name)
{
	int fd, client = helper_connect(listener->fd, 0, &fd), value = helper_get(fd, level, name);

	close(fd);
	close(client);
	return value;
}

/* It is closed on exec, does not block, and can be bound again after a restart. */
TEST(listeners, opened)
{
	struct listener listener = open_one("127.0.0.1:0");
	struct address configured = helper_address("127.0.0.1:0");

	cr_assert(address_equal(&listener.address, &configured));
	cr_assert_eq(listener.bound.size, sizeof(listener.bound.v4));
	cr_assert_eq(listener.bound.v4.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	cr_assert_neq(address_port(&listener.bound), 0);
	cr_assert(fcntl(listener.fd, F_GETFD) & FD_CLOEXEC);
	cr_assert(fcntl(listener.fd, F_GETFL) & O_NONBLOCK);
	cr_assert_eq(helper_get(listener.fd, SOL_SOCKET, SO_REUSEADDR), 1);
	cr_assert_eq(helper_get(listener.fd, SOL_SOCKET, SO_REUSEPORT), 0);
	cr_assert_eq(helper_get(listener.fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
	close(listener.fd);
}

/* With IPv6 it is IPv6 only, so that both families can be bound to the one port. */
TEST(listeners, ipv6)
{
	struct listener listener = open_one("[::]:0");

	cr_assert_eq(listener.bound.size, sizeof(listener.bound.v6));
	cr_assert_neq(address_port(&listener.bound), 0);
	cr_assert_eq(helper_get(listener.fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	cr_assert_eq(get_accepted(&listener, IPPROTO_TCP, TCP_NODELAY), 1);
	close(listener.fd);
}

/* Connections inherit what is configured, at the bounds of what is allowed, and after a reload. */
TEST(listeners, inherited)
{
	static const struct {
		int level, name, configured, expected;
		size_t option;
	} rows[] = {
#define ROW(level, name, option, configured, expected) \
	{ level, name, configured, expected, offsetof(struct conf, option) }
		ROW(IPPROTO_TCP, TCP_NODELAY, tcp_nodelay, 1, 1),
		ROW(IPPROTO_TCP, TCP_NODELAY, tcp_nodelay, 0, 0),
		ROW(IPPROTO_TCP, TCP_KEEPIDLE, tcp_keepalive, 123, 123),
		ROW(IPPROTO_TCP, TCP_KEEPIDLE, tcp_keepalive, 32767, 32767),
		ROW(IPPROTO_TCP, TCP_KEEPIDLE, tcp_keepalive, 1, 1),
		ROW(SOL_SOCKET, SO_KEEPALIVE, tcp_keepalive, 1, 1),
		ROW(SOL_SOCKET, SO_KEEPALIVE, tcp_keepalive, 0, 0),
		ROW(SOL_SOCKET, SO_OOBINLINE, tcp_nodelay, 0, 1),
		ROW(SOL_SOCKET, SO_RCVBUF, receive_buffer, 20000, 2 * 20000),
		ROW(SOL_SOCKET, SO_SNDBUF, send_buffer, 30000, 2 * 30000),
#undef ROW
	};
	struct listener reloaded = open_one("127.0.0.1:0");

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct listener listener;

		*(int64_t *)((char *)&conf + rows[i].option) = rows[i].configured;
		listener = open_one("127.0.0.1:0");
		cr_assert_eq(listener_configure(&reloaded, &conf), 0);
		cr_expect_eq(get_accepted(&listener, rows[i].level, rows[i].name), rows[i].expected,
			     "row %zu", i);
		cr_expect_eq(get_accepted(&reloaded, rows[i].level, rows[i].name), rows[i].expected,
			     "row %zu after a reload", i);
		close(listener.fd);
	}
	close(reloaded.fd);
	cr_assert_eq(listener_configure(&reloaded, &conf), -EBADF);
	conf.receive_buffer = conf.send_buffer = 1073741823;
	close(open_one("127.0.0.1:0").fd);
	conf.receive_buffer = conf.send_buffer = 1;
	close(open_one("127.0.0.1:0").fd);
}

struct inherited {
	int level, name, wrong, right;
};

/* Whatever was set on a socket that others made, connections have what the echo relies on. [F54] */
TEST(listeners, relied_on)
{
	static const struct inherited options[] = {
		{ SOL_SOCKET, SO_OOBINLINE, 0, 1 },	    { SOL_SOCKET, SO_RCVLOWAT, 1000, 1 },
		{ SOL_SOCKET, SO_TIMESTAMPING, 2, 0 },	    { IPPROTO_TCP, TCP_CORK, 1, 0 },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, 1000, 0 }, { IPPROTO_IP, IP_RECVERR, 1, 0 },
	};
	static const int lingering[2] = { 1, 5 }, linger2 = -1;
	struct listener listener = open_one("127.0.0.1:0");
	struct linger linger;
	socklen_t size = sizeof(linger);
	int client, fd;

	for (size_t i = 0; i < COUNT(options); i++)
		helper_set(listener.fd, options[i].level, options[i].name, options[i].wrong);
	setsockopt(listener.fd, SOL_SOCKET, SO_LINGER, lingering, sizeof(lingering));
	setsockopt(listener.fd, IPPROTO_TCP, TCP_LINGER2, &linger2, sizeof(linger2));
	cr_assert_eq(listener_configure(&listener, &conf), 0);
	client = helper_connect(listener.fd, 0, &fd);
	for (size_t i = 0; i < COUNT(options); i++)
		cr_expect_eq(helper_get(fd, options[i].level, options[i].name), options[i].right,
			     "level %d, option %d", options[i].level, options[i].name);
	cr_assert_eq(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &size), 0);
	cr_expect_eq(linger.l_onoff, 0);
	cr_expect_gt(helper_get(fd, IPPROTO_TCP, TCP_LINGER2), 0);
	close(fd);
	close(client);
	close(listener.fd);
}

/* The length of a listener's queue. */
static unsigned backlog_of(const struct listener *listener)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	cr_assert_eq(getsockopt(listener->fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
	return info.tcpi_sacked; /* that is what it says of a listening socket */
}

/* A reload changes the length of the queue. */
TEST(listeners, queue)
{
	struct listener listener;

	conf.backlog = 3;
	listener = open_one("127.0.0.1:0");
	cr_assert_eq(backlog_of(&listener), 3);
	conf.backlog = 5;
	cr_assert_eq(listener_configure(&listener, &conf), 0);
	cr_assert_eq(backlog_of(&listener), 5);
	close(listener.fd);
}

/* At a reload listeners that stay are the same sockets, and only new ones are opened, in order. */
TEST(listeners, old_ones_are_kept)
{
	struct listeners old, set;
	unsigned before = helper_count_descriptors();

	listen_on("127.0.0.1:0");
	listen_on("127.0.0.2:0");
	start(&old);
	cr_assert_eq(helper_count_descriptors(), before + 2);
	cr_assert_eq(listen_prepare(&old, &conf, &set), 0);
	cr_assert_eq(set.n, 2);
	cr_assert(set.at[0].fd == old.at[0].fd && set.at[1].fd == old.at[1].fd);
	conf.n_listen = 0;
	listen_on("127.0.0.3:0");
	listen_on("127.0.0.2:0");
	cr_assert_eq(listen_prepare(&old, &conf, &set), 0);
	cr_assert(set.n == 2 && old.n == 2);
	cr_assert_eq(helper_count_descriptors(), before + 3);
	cr_assert_eq(set.at[1].fd, old.at[1].fd);
	cr_assert_eq(set.at[0].bound.v4.sin_addr.s_addr, conf.listen[0].v4.sin_addr.s_addr);
	close(old.at[0].fd);
	listen_close(&set);
	cr_assert_eq(helper_count_descriptors(), before);
}

/* The log has named the address on which it was not possible to listen. */
static void check_bind_failure(const struct address *address)
{
	char text[ADDRESS_TEXT], expected[ADDRESS_TEXT + 32];

	snprintf(expected, sizeof(expected),
		 "cannot listen on %s: ", address_format(address, text));
	cr_assert(strstr(helper_caught(), expected));
}

/* If one cannot be opened it is named, of any family, and only what was open before is. */
static void check_failure(const char *used_address)
{
	struct listener other = open_one(used_address);
	struct listeners old, set;
	unsigned before;

	listen_on("127.0.0.2:0");
	start(&old);
	before = helper_count_descriptors();
	listen_on("127.0.0.3:0");
	conf.listen[conf.n_listen++] = other.bound;
	listen_on("127.0.0.4:0");
	cr_assert_eq(listen_prepare(&old, &conf, &set), -EADDRINUSE);
	check_bind_failure(&other.bound);
	cr_assert_eq(helper_count_descriptors(), before);
	cr_assert_geq(fcntl(old.at[0].fd, F_GETFD), 0);
	listen_close(&old);
	close(other.fd);
}

TEST(listeners, failure)
{
	check_failure("127.0.0.1:0");
	conf.n_listen = 0;
	check_failure("[::1]:0");
}

/* Makes socket(2) say for IPv6 what a kernel without it says. */
static void remove_ipv6(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
		cr_skip_test("system calls cannot be filtered here");
	if (socket(AF_INET6, SOCK_STREAM, 0) >= 0)
		cr_skip_test("socket(2) has another form here");
}

/* Without IPv6 its addresses are left out; if none remains, that is an error that names one. */
TEST(listeners, no_ipv6)
{
	struct listeners set;

	remove_ipv6();
	listen_on("[::1]:0");
	cr_assert_eq(listen_prepare(&none, &conf, &set), -EAFNOSUPPORT);
	cr_assert_eq(set.n, 0);
	check_bind_failure(&conf.listen[0]);
	listen_on("127.0.0.1:0");
	listen_on("[::]:0");
	cr_assert_eq(listen_prepare(&none, &conf, &set), 0);
	cr_assert_eq(set.n, 1);
	cr_assert(address_equal(&set.at[0].address, &conf.listen[1]));
	listen_close(&set);
}

/* Each stored listener is for one address: of its port first, else of any port. [F53] */
TEST(listeners, claim)
{
	static struct activation activation;
	struct listeners set, *stored = &activation.stored;
	struct listener other;

	listen_on("127.0.0.1:0");
	listen_on("127.0.0.2:0");
	listen_on("127.0.0.3:0");
	start(stored);
	other = stored->at[stored->n++] = open_one("127.0.0.1:0"); /* two at one address */
	conf.n_listen = 0;
	listen_on("127.0.0.1:0");
	conf.listen[conf.n_listen++] = stored->at[0].bound;
	conf.listen[conf.n_listen++] = stored->at[2].bound;
	listen_on("127.0.0.4:0");
	cr_assert_eq(listen_start(&set, &activation, &conf, false), 0);
	cr_assert_eq(set.n, 4);
	cr_expect_eq(set.at[0].fd, other.fd);
	cr_expect_eq(set.at[1].fd, stored->at[0].fd);
	cr_expect_eq(set.at[2].fd, stored->at[2].fd);
	for (size_t i = 0; i < 4; i++)
		cr_expect(address_equal(&set.at[i].address, &conf.listen[i]));
	cr_expect_neq(address_port(&set.at[3].bound), 0);
	cr_expect_eq(fcntl(stored->at[1].fd, F_GETFD),
		     set.at[3].fd == stored->at[1].fd ? FD_CLOEXEC : -1);
	listen_close(&set);
}

/* At a reload one that was shut down is opened again, or waits, and refuses nothing. [F52] */
TEST(listeners, ended_ones_are_replaced)
{
	struct listeners old, set;
	struct listener other;

	listen_on("127.0.0.1:0");
	start(&old);
	shutdown(old.at[0].fd, SHUT_RDWR);
	cr_assert_eq(listen_prepare(&old, &conf, &set), 0);
	cr_assert_neq(set.at[0].fd, old.at[0].fd);
	cr_assert(address_equal(&set.at[0].bound, &old.at[0].bound));
	close(set.at[0].fd);
	cr_assert_eq(listener_open(&other, &old.at[0].bound, address_port(&old.at[0].bound), &conf),
		     0);
	cr_assert_eq(listen_prepare(&old, &conf, &set), 0);
	cr_assert_eq(set.n, 1);
	cr_assert_eq(set.at[0].fd, -1);
	listen_close(&set);
	listen_close(&old);
	close(other.fd);
}
