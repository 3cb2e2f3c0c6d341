#include "listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "settings.h"

static int set(int fd, int level, int name, int64_t value)
{
	int v = (int)value;

	return setsockopt(fd, level, name, &v, sizeof(v)) < 0 ? -errno : 0;
}

static int set_keepalive(int fd, int64_t seconds)
{
	int r = set(fd, SOL_SOCKET, SO_KEEPALIVE, seconds > 0);

	if (r == 0 && seconds > 0)
		r = set(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
	return r;
}

/* Without a size the kernel adapts the buffer to each connection. */
static int set_buffer(int fd, int name, int64_t size)
{
	return size ? set(fd, SOL_SOCKET, name, size) : 0;
}

int listener_configure(const struct listener *listener, const struct conf *conf)
{
	int fd = listener->fd;
	int r = set(fd, SOL_SOCKET, SO_OOBINLINE, 1); /* urgent bytes are data too */

	if (r == 0)
		r = set(fd, IPPROTO_TCP, TCP_NODELAY, conf->tcp_nodelay);
	if (r == 0)
		r = set_keepalive(fd, conf->tcp_keepalive);
	if (r == 0)
		r = set_buffer(fd, SO_RCVBUF, conf->receive_buffer);
	if (r == 0)
		r = set_buffer(fd, SO_SNDBUF, conf->send_buffer);
	if (r == 0 && listen(fd, (int)conf->backlog) < 0) /* again: the new backlog */
		r = -errno;
	return r;
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

int listener_open(struct listener *listener, const struct address *address, const struct conf *conf)
{
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	listener->address = *address;
	listener->fd = fd;
	r = bind_to(fd, address);
	if (r == 0) /* before listen(2), for the window scale follows the buffers */
		r = listener_configure(listener, conf);
	if (r < 0)
		close(fd);
	return r;
}

int listener_queue(const struct listener *listener)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	if (getsockopt(listener->fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
		return -errno;
	return (int)info.tcpi_sacked; /* of a socket that listens this is the backlog */
}

void listener_address(const struct listener *listener, struct address *address)
{
	address->size = sizeof(address->v6);
	if (getsockname(listener->fd, &address->any, &address->size) < 0)
		*address = listener->address;
}
