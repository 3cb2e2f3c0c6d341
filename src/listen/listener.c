/*
 * What a connection inherits (sk_clone() in the kernel copies the socket) and
 * what would break a promise is set on every listener, for whoever made one may
 * have set it otherwise.  What an administrator can want of a socket unit stays
 * (congestion control, mark, priority, type of service, device, pacing, segment
 * size, intervals of keepalive, deferred accept, busy polling, filters), and so
 * do timeouts, which mean nothing where nothing blocks.
 *
 * Linux says of a listener that does not listen any more what it says of a
 * socket that never did: accept(2) fails with EINVAL, epoll reports EPOLLHUP
 * for ever, and SO_ACCEPTCONN is 0.  listen(2) must not be called then: a
 * destroyed one would accept connections again that are shut down at once.
 */
#include "listen/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "conf/settings.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#ifndef SOCK_SNDBUF_LOCK
#define SOCK_SNDBUF_LOCK 1
#define SOCK_RCVBUF_LOCK 2
#endif

static const struct {
	int level, name, value;
} relied_on[] = {
	/* urgent bytes are data too */
	{ SOL_SOCKET, SO_OOBINLINE, 1 },
	/* each byte makes the socket readable */
	{ SOL_SOCKET, SO_RCVLOWAT, 1 },
	/* MSG_PEEK begins with the next byte */
	{ SOL_SOCKET, SO_PEEK_OFF, -1 },
	/* or the kernel queues a report of each packet, which nobody reads, and wakes us */
	{ SOL_SOCKET, SO_TIMESTAMPING, 0 },
	/* an echo is sent at once; TCP_NODELAY does not undo this one */
	{ IPPROTO_TCP, TCP_CORK, 0 },
	/* stall_timeout decides how long an echo may wait */
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, 0 },
	/* below 0, what ended in order with a FIN is reset after it */
	{ IPPROTO_TCP, TCP_LINGER2, 0 },
	/* an ICMP message, which anyone can send, does not end a connection */
	{ IPPROTO_IP, IP_RECVERR, 0 },
	{ IPPROTO_IPV6, IPV6_RECVERR, 0 },
};

static int set(int fd, int level, int name, int64_t value)
{
	int v = (int)value;

	return setsockopt(fd, level, name, &v, sizeof(v)) < 0 ? -errno : 0;
}

static bool get(int fd, int name, void *value, socklen_t size)
{
	return getsockopt(fd, SOL_SOCKET, name, value, &size) == 0;
}

/* The kernel, or MPTCP, may not have an option, which then cannot be set wrongly either. */
static int set_if_known(int fd, int level, int name, int value)
{
	int r = set(fd, level, name, value);

	return r == -ENOPROTOOPT || r == -EOPNOTSUPP ? 0 : r;
}

static int set_relied_on(int fd)
{
	/* close(2) neither resets nor waits */
	static const struct linger off;
	int r = setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off)) < 0 ? -errno : 0;

	for (size_t i = 0; i < sizeof(relied_on) / sizeof(relied_on[0]) && r == 0; i++)
		r = set_if_known(fd, relied_on[i].level, relied_on[i].name, relied_on[i].value);
	return r;
}

static int set_keepalive(int fd, int64_t seconds)
{
	int r = set(fd, SOL_SOCKET, SO_KEEPALIVE, seconds > 0);

	if (r == 0 && seconds > 0) /* MPTCP has it in newer kernels only */
		r = set_if_known(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)seconds);
	return r;
}

/* Without a size the kernel adapts the buffer to each connection. */
static int set_buffer(int fd, int name, int64_t size)
{
	return size ? set(fd, SOL_SOCKET, name, size) : 0;
}

/*
 * With TCP Fast Open a client is served before its address is proven: its
 * cookie may be old, or not be asked for.  listen(2) can turn it on (the sysctl
 * net.ipv4.tcp_fastopen).
 */
static int listen_on(int fd, int64_t backlog)
{
	if (listen(fd, (int)backlog) < 0)
		return -errno;
	return set_if_known(fd, IPPROTO_TCP, TCP_FASTOPEN, 0);
}

int listener_configure(const struct listener *listener, const struct conf *conf)
{
	int fd = listener->fd;
	int r = set_relied_on(fd);

	if (r == 0)
		r = set(fd, IPPROTO_TCP, TCP_NODELAY, conf->tcp_nodelay);
	if (r == 0)
		r = set_keepalive(fd, conf->tcp_keepalive);
	if (r == 0)
		r = set_buffer(fd, SO_RCVBUF, conf->receive_buffer);
	if (r == 0)
		r = set_buffer(fd, SO_SNDBUF, conf->send_buffer);
	if (r == 0) /* again: the new backlog */
		r = listen_on(fd, conf->backlog);
	return r;
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

/* Before listen(2), for the window scale follows the buffers. */
static int prepare(struct listener *listener, const struct address *resolved,
		   const struct conf *conf)
{
	int r = bind_to(listener->fd, resolved);

	if (r == 0)
		r = listener_configure(listener, conf);
	if (r == 0)
		r = find_bound(listener);
	return r;
}

int listener_open(struct listener *listener, const struct address *address, const struct conf *conf)
{
	struct address resolved;
	int r = address_resolve(address, &resolved);

	if (r < 0)
		return r;
	*listener = (struct listener){ .address = *address, .stored = -1 };
	listener->fd =
		socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener->fd < 0)
		return -errno;
	r = prepare(listener, &resolved, conf);
	if (r < 0) {
		close(listener->fd);
		listener->fd = -1;
	}
	return r;
}

int listener_open_again(struct listener *listener, const struct listener *failed,
			const struct conf *conf)
{
	struct address address = failed->address;
	int r;

	address_set_port(&address, address_port(&failed->bound));
	r = listener_open(listener, &address, conf);
	if (r == 0)
		listener->address = failed->address;
	return r;
}

int listener_take(struct listener *listener, int fd)
{
	int r;

	*listener = (struct listener){ .fd = fd, .stored = -1 };
	r = find_bound(listener);
	listener->address = listener->bound;
	return r;
}

bool listener_is_alive(const struct listener *listener)
{
	int listens = 0;

	return listener->fd >= 0 &&
	       (!get(listener->fd, SO_ACCEPTCONN, &listens, sizeof(listens)) || listens);
}

/* True if both have the same value of an option of so many bytes, or none. */
static bool agree(int a, int b, int name, socklen_t size)
{
	uint64_t x = 0, y = 0;

	return !get(a, name, &x, size) || !get(b, name, &y, size) || x == y;
}

const char *listener_differs(int fd)
{
	const char *why = NULL;
	int family = AF_INET, now;

	(void)get(fd, SO_DOMAIN, &family, sizeof(family));
	now = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (now < 0)
		return NULL; /* opening one would fail as well */
	if (!agree(fd, now, SO_NETNS_COOKIE, sizeof(uint64_t)))
		why = "it belongs to another network namespace";
	else if (!agree(fd, now, SO_PROTOCOL, sizeof(int)))
		why = "it is of another protocol than new ones, of TCP and MPTCP";
	close(now);
	return why;
}

int listener_queue(const struct listener *listener)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	if (getsockopt(listener->fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
		return -errno;
	return (int)info.tcpi_sacked; /* of a socket that listens this is the backlog */
}
