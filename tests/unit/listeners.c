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

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#ifndef SOCK_SNDBUF_LOCK
#define SOCK_SNDBUF_LOCK 1
#endif

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

static int get(int fd, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	cr_assert_eq(getsockopt(fd, level, name, &value, &size), 0);
	return value;
}

/* A connection that the listener has accepted; its client in *client. */
static int accept_from(const struct listener *listener, int *client)
{
	struct address address;
	int fd;

	address = listener->bound;
	*client = socket(address.any.sa_family, SOCK_STREAM, 0);
	cr_assert_eq(connect(*client, &address.any, address.size), 0);
	helper_wait(listener->fd, POLLIN);
	fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK);
	cr_assert_geq(fd, 0);
	return fd;
}

/* What one connection from this listener on has for an option. */
static int get_accepted(const struct listener *listener, int level, int name)
{
	int client, fd = accept_from(listener, &client), value = get(fd, level, name);

	close(fd);
	close(client);
	return value;
}

/* The address is the configured one, and what is bound has the kernel's port. */
TEST(listeners, address)
{
	struct listener listener = open_one("127.0.0.1:0");
	struct address real, configured = helper_address("127.0.0.1:0");

	cr_assert(address_equal(&listener.address, &configured));
	real = listener.bound;
	cr_assert_eq(real.any.sa_family, AF_INET);
	cr_assert_eq(real.size, sizeof(real.v4));
	cr_assert_eq(real.v4.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	cr_assert_neq(address_port(&real), 0);
	close(listener.fd);
}

/* It is close-on-exec, does not block, and can be bound again after a restart. */
TEST(listeners, descriptor_flags)
{
	struct listener listener = open_one("127.0.0.1:0");

	cr_assert(fcntl(listener.fd, F_GETFD) & FD_CLOEXEC);
	cr_assert(fcntl(listener.fd, F_GETFL) & O_NONBLOCK);
	cr_assert_eq(accept(listener.fd, NULL, NULL), -1);
	cr_assert_eq(errno, EAGAIN);
	cr_assert_eq(get(listener.fd, SOL_SOCKET, SO_REUSEADDR), 1);
	cr_assert_eq(get(listener.fd, SOL_SOCKET, SO_REUSEPORT), 0);
	cr_assert_eq(get(listener.fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
	close(listener.fd);
}

/* IPv6 has the same inheritance, and its own addresses. */
TEST(listeners, ipv6)
{
	struct listener listener = open_one("[::1]:0");
	struct address real;

	real = listener.bound;
	cr_assert_eq(real.any.sa_family, AF_INET6);
	cr_assert_eq(real.size, sizeof(real.v6));
	cr_assert_neq(address_port(&real), 0);
	cr_assert_eq(get_accepted(&listener, IPPROTO_TCP, TCP_NODELAY), 1);
	close(listener.fd);
}

/*
 * IPv6 is IPv6 only, whatever the system's default is.  This needs the one
 * address that could be both, for an instant.
 */
TEST(listeners, ipv6_only)
{
	struct listener listener = open_one("[::]:0");

	cr_assert_eq(get(listener.fd, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	close(listener.fd);
}

/* Connections inherit what is set on the listener, in either state. */
TEST(listeners, inherited_switches)
{
	struct listener listener;

	conf.tcp_nodelay = 1;
	conf.tcp_keepalive = 123;
	listener = open_one("127.0.0.1:0");
	cr_assert_eq(get_accepted(&listener, SOL_SOCKET, SO_OOBINLINE), 1);
	cr_assert_eq(get_accepted(&listener, IPPROTO_TCP, TCP_NODELAY), 1);
	cr_assert_eq(get_accepted(&listener, SOL_SOCKET, SO_KEEPALIVE), 1);
	cr_assert_eq(get_accepted(&listener, IPPROTO_TCP, TCP_KEEPIDLE), 123);
	close(listener.fd);
	conf.tcp_nodelay = 0;
	conf.tcp_keepalive = 0;
	listener = open_one("127.0.0.1:0");
	cr_assert_eq(get_accepted(&listener, SOL_SOCKET, SO_OOBINLINE), 1);
	cr_assert_eq(get_accepted(&listener, IPPROTO_TCP, TCP_NODELAY), 0);
	cr_assert_eq(get_accepted(&listener, SOL_SOCKET, SO_KEEPALIVE), 0);
	close(listener.fd);
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

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		cr_assert_eq(setsockopt(listener.fd, options[i].level, options[i].name,
					&options[i].wrong, sizeof(int)),
			     0);
	setsockopt(listener.fd, SOL_SOCKET, SO_LINGER, lingering, sizeof(lingering));
	setsockopt(listener.fd, IPPROTO_TCP, TCP_LINGER2, &linger2, sizeof(linger2));
	cr_assert_eq(listener_configure(&listener, &conf), 0);
	fd = accept_from(&listener, &client);
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		cr_expect_eq(get(fd, options[i].level, options[i].name), options[i].right,
			     "level %d, option %d", options[i].level, options[i].name);
	cr_assert_eq(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &size), 0);
	cr_expect_eq(linger.l_onoff, 0);
	cr_expect_gt(get(fd, IPPROTO_TCP, TCP_LINGER2), 0);
	close(fd);
	close(client);
	close(listener.fd);
}

/* A size that is not configured any more is the kernel's again, also for the window. */
TEST(listeners, buffers_released)
{
	struct listener new = open_one("127.0.0.1:0"), old;
	int locks = 0;

	conf.receive_buffer = 2000;
	conf.send_buffer = 3000;
	old = open_one("127.0.0.1:0");
	conf.receive_buffer = 0;
	listener_release_buffers(&old, &conf);
	cr_assert_eq(get(old.fd, SOL_SOCKET, SO_BUF_LOCK), SOCK_SNDBUF_LOCK);
	conf.send_buffer = 0;
	listener_release_buffers(&old, &conf);
	cr_assert_eq(get(old.fd, SOL_SOCKET, SO_BUF_LOCK), locks);
	cr_expect_eq(get(old.fd, SOL_SOCKET, SO_RCVBUF), get(new.fd, SOL_SOCKET, SO_RCVBUF));
	cr_expect_eq(get(old.fd, SOL_SOCKET, SO_SNDBUF), get(new.fd, SOL_SOCKET, SO_SNDBUF));
	close(old.fd);
	close(new.fd);
}

/* One that was shut down is known, and opened again at the same port. */
TEST(listeners, opened_again)
{
	struct listener listener = open_one("127.0.0.1:0"), again;

	cr_assert(listener_is_alive(&listener));
	shutdown(listener.fd, SHUT_RDWR);
	cr_assert_not(listener_is_alive(&listener));
	cr_assert_eq(listener_open(&again, &listener.address, address_port(&listener.bound), &conf),
		     0);
	cr_assert(listener_is_alive(&again));
	cr_assert(address_equal(&again.bound, &listener.bound));
	cr_assert(address_equal(&again.address, &listener.address));
	close(listener.fd);
	close(again.fd);
}

/* So with the buffers, which the kernel doubles; 0 leaves the kernel's own. */
TEST(listeners, inherited_buffers)
{
	struct listener listener = open_one("127.0.0.1:0");
	int receive = get_accepted(&listener, SOL_SOCKET, SO_RCVBUF);
	int send = get_accepted(&listener, SOL_SOCKET, SO_SNDBUF);

	close(listener.fd);
	cr_assert_neq(receive, 2 * 20000);
	cr_assert_neq(send, 2 * 30000);
	conf.receive_buffer = 20000;
	conf.send_buffer = 30000;
	listener = open_one("127.0.0.1:0");
	cr_assert_eq(get_accepted(&listener, SOL_SOCKET, SO_RCVBUF), 2 * 20000);
	cr_assert_eq(get_accepted(&listener, SOL_SOCKET, SO_SNDBUF), 2 * 30000);
	close(listener.fd);
}

/* The highest values that the configuration allows are accepted by the kernel. */
TEST(listeners, extreme_values)
{
	struct listener listener;

	conf.receive_buffer = conf.send_buffer = 1073741823;
	conf.tcp_keepalive = 32767;
	conf.backlog = 65535;
	listener = open_one("127.0.0.1:0");
	cr_assert_eq(get_accepted(&listener, IPPROTO_TCP, TCP_KEEPIDLE), 32767);
	close(listener.fd);
	conf.receive_buffer = conf.send_buffer = 1;
	conf.tcp_keepalive = 1;
	conf.backlog = 1;
	listener = open_one("127.0.0.1:0");
	cr_assert_eq(get_accepted(&listener, IPPROTO_TCP, TCP_KEEPIDLE), 1);
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

/* A reload changes what later connections inherit, and the queue. */
TEST(listeners, configure)
{
	struct listener listener;

	conf.backlog = 3;
	listener = open_one("127.0.0.1:0");
	cr_assert_eq(backlog_of(&listener), 3);
	conf.backlog = 5;
	conf.tcp_nodelay = 0;
	conf.tcp_keepalive = 77;
	cr_assert_eq(listener_configure(&listener, &conf), 0);
	cr_assert_eq(backlog_of(&listener), 5);
	cr_assert_eq(get_accepted(&listener, IPPROTO_TCP, TCP_NODELAY), 0);
	cr_assert_eq(get_accepted(&listener, IPPROTO_TCP, TCP_KEEPIDLE), 77);
	conf.tcp_keepalive = 0;
	cr_assert_eq(listener_configure(&listener, &conf), 0);
	cr_assert_eq(get_accepted(&listener, SOL_SOCKET, SO_KEEPALIVE), 0);
	close(listener.fd);
	cr_assert_eq(listener_configure(&listener, &conf), -EBADF);
}

/* Clients that wait in the queue are not lost by a reload. */
TEST(listeners, configure_keeps_the_queue)
{
	struct listener listener = open_one("127.0.0.1:0");
	struct address address;
	int client = socket(AF_INET, SOCK_STREAM, 0), fd;

	address = listener.bound;
	cr_assert_eq(connect(client, &address.any, address.size), 0);
	helper_wait(listener.fd, POLLIN);
	cr_assert_eq(listener_configure(&listener, &conf), 0);
	fd = accept(listener.fd, NULL, NULL);
	cr_assert_geq(fd, 0);
	close(fd);
	close(client);
	close(listener.fd);
}

/* An address that is in use is an error, after which nothing is open. */
TEST(listeners, address_in_use)
{
	struct listener first = open_one("127.0.0.1:0"), second;
	unsigned before = helper_count_descriptors();
	struct address address;

	address = first.bound;
	cr_assert_eq(listener_open(&second, &address, address_port(&address), &conf), -EADDRINUSE);
	cr_assert_eq(helper_count_descriptors(), before);
	close(first.fd);
}

/* So is a lack of descriptors. */
TEST(listeners, no_descriptors)
{
	struct address address = helper_address("127.0.0.1:0");
	struct rlimit limit, none_left;
	struct listener listener;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none_left = limit;
	none_left.rlim_cur = 0;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none_left), 0);
	cr_assert_eq(listener_open(&listener, &address, address_port(&address), &conf), -EMFILE);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* All that the configuration names is opened, in its order. */
TEST(listeners, open)
{
	unsigned before = helper_count_descriptors();
	struct listeners set;
	struct address real;

	listen_on("127.0.0.1:0");
	listen_on("127.0.0.2:0");
	listen_on("127.0.0.3:0");
	cr_assert_eq(listen_prepare(&none, &conf, &set), 0);
	cr_assert_eq(set.n, 3);
	cr_assert_eq(helper_count_descriptors(), before + 3);
	for (size_t i = 0; i < 3; i++) {
		cr_expect(address_equal(&set.at[i].address, &conf.listen[i]));
		real = set.at[i].bound;
		cr_expect_eq(real.v4.sin_addr.s_addr, conf.listen[i].v4.sin_addr.s_addr);
	}
	listen_close(&set);
	cr_assert_eq(helper_count_descriptors(), before);
}

/* At a reload those that stay are the same sockets, and only new ones are opened. */
TEST(listeners, old_ones_are_kept)
{
	struct listeners old, set;
	unsigned before;

	listen_on("127.0.0.1:0");
	listen_on("127.0.0.2:0");
	cr_assert_eq(listen_start(&old, &nothing, &conf, false), 0);
	before = helper_count_descriptors();
	conf.n_listen = 0;
	listen_on("127.0.0.3:0");
	listen_on("127.0.0.2:0");
	cr_assert_eq(listen_prepare(&old, &conf, &set), 0);
	cr_assert_eq(set.n, 2);
	cr_assert_eq(old.n, 2);
	cr_assert_eq(helper_count_descriptors(), before + 1);
	cr_assert_eq(set.at[1].fd, old.at[1].fd);
	cr_assert_neq(set.at[0].fd, old.at[0].fd);
	close(old.at[0].fd);
	listen_close(&set);
	cr_assert_eq(helper_count_descriptors(), before - 2);
}

/* The same configuration again opens and closes nothing. */
TEST(listeners, nothing_changes)
{
	struct listeners old, set;

	listen_on("127.0.0.1:0");
	listen_on("127.0.0.2:0");
	cr_assert_eq(listen_start(&old, &nothing, &conf, false), 0);
	cr_assert_eq(listen_prepare(&old, &conf, &set), 0);
	cr_assert_eq(set.n, old.n);
	for (size_t i = 0; i < set.n; i++)
		cr_assert_eq(set.at[i].fd, old.at[i].fd);
	listen_close(&set);
}

/* The log has named the address on which it was not possible to listen. */
static void check_bind_failure(const struct address *address)
{
	char text[ADDRESS_TEXT], expected[ADDRESS_TEXT + 32];

	snprintf(expected, sizeof(expected),
		 "cannot listen on %s: ", address_format(address, text));
	cr_assert(strstr(helper_caught(), expected));
}

/* If one cannot be opened it is named, and only what was open before is. */
TEST(listeners, failure)
{
	struct listener other = open_one("127.0.0.1:0");
	struct listeners old, set;
	struct address used;
	unsigned before;

	listen_on("127.0.0.2:0");
	cr_assert_eq(listen_start(&old, &nothing, &conf, false), 0);
	before = helper_count_descriptors();
	listen_on("127.0.0.3:0");
	used = other.bound;
	conf.listen[conf.n_listen++] = used;
	listen_on("127.0.0.4:0");
	cr_assert_eq(listen_prepare(&old, &conf, &set), -EADDRINUSE);
	check_bind_failure(&used);
	cr_assert_eq(helper_count_descriptors(), before);
	cr_assert_geq(fcntl(old.at[0].fd, F_GETFD), 0);
	listen_close(&old);
	close(other.fd);
}

/* An IPv6 address that cannot be bound for another reason is not left out. */
TEST(listeners, failure_of_ipv6)
{
	struct listener other = open_one("[::1]:0");
	struct listeners set;

	listen_on("127.0.0.1:0");
	conf.listen[conf.n_listen++] = other.bound;
	cr_assert_eq(listen_prepare(&none, &conf, &set), -EADDRINUSE);
	check_bind_failure(&conf.listen[1]);
	close(other.fd);
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

/* Without IPv6 in the kernel its addresses are left out, as long as another remains. */
TEST(listeners, no_ipv6)
{
	struct listeners set;

	remove_ipv6();
	listen_on("[::1]:0");
	listen_on("127.0.0.1:0");
	listen_on("[::]:0");
	cr_assert_eq(listen_prepare(&none, &conf, &set), 0);
	cr_assert_eq(set.n, 1);
	cr_assert(address_equal(&set.at[0].address, &conf.listen[1]));
	listen_close(&set);
}

/* If none remains that is an error, and says which is missing. */
TEST(listeners, nothing_but_ipv6)
{
	struct listeners set;

	remove_ipv6();
	listen_on("[::1]:0");
	cr_assert_eq(listen_prepare(&none, &conf, &set), -EAFNOSUPPORT);
	cr_assert_eq(set.n, 0);
	check_bind_failure(&conf.listen[0]);
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
	cr_assert_eq(listen_start(stored, &nothing, &conf, false), 0);
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
	cr_assert_eq(listen_start(&old, &nothing, &conf, false), 0);
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

/* As many as can be configured fit. */
TEST(listeners, as_many_as_possible)
{
	unsigned before = helper_count_descriptors();
	struct listeners set;

	for (uint32_t i = 0; i < CONF_LISTEN_MAX; i++) {
		listen_on("127.0.0.1:0");
		conf.listen[i].v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK + i);
	}
	cr_assert_eq(listen_prepare(&none, &conf, &set), 0);
	cr_assert_eq(set.n, CONF_LISTEN_MAX);
	cr_assert_eq(helper_count_descriptors(), before + CONF_LISTEN_MAX);
	listen_close(&set);
	cr_assert_eq(helper_count_descriptors(), before);
}
