/* SPDX-License-Identifier: MIT */
/*
 * What a connection inherits (sk_clone() in the kernel copies the socket) and
 * what would break a promise is set on every listener, because the process that
 * made it may have set it otherwise.  What an administrator can want of a socket
 * unit stays (congestion control, mark, priority, type of service, device,
 * pacing, segment size, intervals of keepalive, deferred accept, busy polling,
 * filters), and so do timeouts, which mean nothing where nothing blocks.
 *
 * A listener that was shut down is like a socket that never listened: accept(2)
 * fails with EINVAL, epoll reports EPOLLHUP for ever, and SO_ACCEPTCONN is 0.
 * listen(2) must not be called then: a destroyed one would accept connections
 * again that are shut down at once.
 */
#include "listen/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/socket.h>
#include <netinet/tcp.h>
#include <unistd.h>

#define AS_IT_IS INT_MIN

struct socket_option {
	int level, name, value;
};

static const struct socket_option relied_on[] = {
	/* urgent bytes are data too */
	{ SOL_SOCKET, SO_OOBINLINE, 1 },
	/* each byte makes the socket readable */
	{ SOL_SOCKET, SO_RCVLOWAT, 1 },
	/* MSG_PEEK begins with the next byte */
	{ SOL_SOCKET, SO_PEEK_OFF, -1 },
	/* or the kernel queues a report of each packet, which is never read, and wakes us */
	{ SOL_SOCKET, SO_TIMESTAMPING, 0 },
	/* an echo is sent at once; TCP_NODELAY does not undo this one */
	{ IPPROTO_TCP, TCP_CORK, 0 },
	/* stall_timeout decides how long an echo may wait */
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, 0 },
	/* below 0, a connection that ended with a FIN is reset after it */
	{ IPPROTO_TCP, TCP_LINGER2, 0 },
	/* an ICMP message, which any host can send, does not end a connection */
	{ IPPROTO_IP, IP_RECVERR, 0 },
	{ IPPROTO_IPV6, IPV6_RECVERR, 0 },
};

static bool get(int fd, int name, void *value, socklen_t size)
{
	return getsockopt(fd, SOL_SOCKET, name, value, &size) == 0;
}

/* An option that the kernel, or its MPTCP, does not have cannot be wrong either. */
static int set(int fd, int level, int name, int value)
{
	if (value == AS_IT_IS || setsockopt(fd, level, name, &value, sizeof(value)) == 0 ||
	    errno == ENOPROTOOPT || errno == EOPNOTSUPP)
		return 0;
	return -errno;
}

static int set_all(int fd, const struct socket_option *options, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = set(fd, options[i].level, options[i].name, options[i].value);
	return r;
}

static int unless_0(int64_t value)
{
	return value ? (int)value : AS_IT_IS;
}

static int set_configured(int fd, const struct conf *conf)
{
	const struct socket_option configured[] = {
		{ IPPROTO_TCP, TCP_NODELAY, (int)conf->tcp_nodelay },
		{ SOL_SOCKET, SO_KEEPALIVE, conf->tcp_keepalive > 0 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, unless_0(conf->tcp_keepalive) },
		/* without a size the kernel adapts the buffer to each connection */
		{ SOL_SOCKET, SO_RCVBUF, unless_0(conf->receive_buffer) },
		{ SOL_SOCKET, SO_SNDBUF, unless_0(conf->send_buffer) },
	};

	return set_all(fd, configured, sizeof(configured) / sizeof(configured[0]));
}

int listener_configure(const struct listener *listener, const struct conf *conf)
{
	static const struct linger no_linger; /* close(2) neither resets nor waits */
	int fd = listener->fd;
	int r = set_all(fd, relied_on, sizeof(relied_on) / sizeof(relied_on[0]));

	if (r == 0)
		r = set_configured(fd, conf);
	if (r < 0)
		return r;
	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &no_linger, sizeof(no_linger)) < 0 ||
	    listen(fd, (int)conf->backlog) < 0)
		return -errno;
	/*
	 * With TCP Fast Open a client is served before its address is proven.
	 * listen(2) can turn it on (the sysctl net.ipv4.tcp_fastopen).
	 */
	return set(fd, IPPROTO_TCP, TCP_FASTOPEN, 0);
}

/* Makes the size automatic if it is not, beginning with that of a new socket. */
static void release_buffer(const struct listener *listener, int name, int lock)
{
	int locks = 0, size = 0, fd;

	if (!get(listener->fd, SO_BUF_LOCK, &locks, sizeof(locks)) || !(locks & lock))
		return;
	fd = socket(listener->bound.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (get(fd, name, &size, sizeof(size)))
		(void)set(listener->fd, SOL_SOCKET, name, size / 2); /* it is doubled */
	(void)set(listener->fd, SOL_SOCKET, SO_BUF_LOCK, locks & ~lock);
	close(fd);
}

void listener_release_buffers(const struct listener *listener, const struct conf *conf)
{
	if (!conf->receive_buffer)
		release_buffer(listener, SO_RCVBUF, SOCK_RCVBUF_LOCK);
	if (!conf->send_buffer)
		release_buffer(listener, SO_SNDBUF, SOCK_SNDBUF_LOCK);
}

static int bind_to(int fd, const struct address *address)
{
	/* A restart may bind while old connections are in TIME_WAIT. */
	int r = set(fd, SOL_SOCKET, SO_REUSEADDR, 1);

	/* The default depends on a sysctl (ipv6(7)), and would take IPv4 too. */
	if (r == 0 && address->any.sa_family == AF_INET6)
		r = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (r == 0 && bind(fd, &address->any, address->size) < 0)
		r = -errno;
	return r;
}

static int find_bound(struct listener *listener)
{
	struct address *bound = &listener->bound;

	bound->size = sizeof(bound->v6);
	return getsockname(listener->fd, &bound->any, &bound->size) < 0 ? -errno : 0;
}

int listener_open(struct listener *listener, const struct address *address, unsigned port,
		  const struct conf *conf)
{
	struct address resolved;
	int r = address_resolve(address, &resolved);

	if (r < 0)
		return r;
	address_set_port(&resolved, port);
	*listener = (struct listener){ .address = *address };
	listener->fd =
		socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener->fd < 0)
		return -errno;
	r = bind_to(listener->fd, &resolved);
	if (r == 0) /* with all options before listen(2): the window scale follows the buffers */
		r = listener_configure(listener, conf);
	if (r == 0)
		r = find_bound(listener);
	if (r < 0)
		close(listener->fd);
	return r;
}

/* True if both have the same value of an option of so many bytes, or none. */
static bool agree(int a, int b, int name, socklen_t size)
{
	uint64_t x = 0, y = 0;

	return !get(a, name, &x, size) || !get(b, name, &y, size) || x == y;
}

/* Why a socket that a predecessor made is not what we would make now; or NULL. */
static const char *differs(const struct listener *listener)
{
	int now = socket(listener->bound.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const char *why = NULL;

	if (now < 0)
		return NULL; /* opening one would fail as well */
	if (!agree(listener->fd, now, SO_NETNS_COOKIE, sizeof(uint64_t)))
		why = "it belongs to another network namespace";
	else if (!agree(listener->fd, now, SO_PROTOCOL, sizeof(int)))
		why = "it is of TCP and new ones of MPTCP, or the reverse";
	close(now);
	return why;
}

const char *listener_take(struct listener *listener, int fd, bool stored)
{
	int listens = 0, protocol = 0, family = 0;

	(void)get(fd, SO_ACCEPTCONN, &listens, sizeof(listens));
	(void)get(fd, SO_PROTOCOL, &protocol, sizeof(protocol));
	(void)get(fd, SO_DOMAIN, &family, sizeof(family));
	*listener = (struct listener){ .fd = fd };
	if (!listens || (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP) ||
	    (family != AF_INET && family != AF_INET6) || find_bound(listener) < 0)
		return "it is not a listening TCP socket";
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); /* fails for no socket */
	listener->address = listener->bound;
	return stored ? differs(listener) : NULL;
}

bool listener_is_alive(const struct listener *listener)
{
	int listens = 0;

	return listener->fd >= 0 &&
	       (!get(listener->fd, SO_ACCEPTCONN, &listens, sizeof(listens)) || listens);
}

int listener_queue(const struct listener *listener)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	if (getsockopt(listener->fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
		return -errno;
	return (int)info.tcpi_sacked; /* of a socket that listens this is the backlog */
}
