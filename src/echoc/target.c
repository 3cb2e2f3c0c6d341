/* SPDX-License-Identifier: MIT */
#include "echoc/target.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_PORT "7"

/* getaddrinfo(3) takes 65543 for 7; names of services are its business. */
static bool is_too_large(const char *port)
{
	return port[strspn(port, "0123456789")] == '\0' && (strlen(port) > 5 || atoi(port) > 65535);
}

/* Cuts the text in two, in place.  0 or -EINVAL. */
static int split(char *text, char **host, const char **port)
{
	char *colon;

	*host = text;
	if (*text == '[') {
		char *close = strchr(text, ']');

		if (!close || (close[1] != '\0' && close[1] != ':'))
			return -EINVAL;
		*host = text + 1;
		*close = '\0';
		text = close + 1;
	}
	colon = strchr(text, ':');
	*port = colon ? colon + 1 : DEFAULT_PORT;
	if (colon && strchr(*port, ':')) /* a bare IPv6 address: where is its port? */
		return -EINVAL;
	if (colon)
		*colon = '\0';
	return **host && **port && !is_too_large(*port) ? 0 : -EINVAL;
}

static void take(struct target *target, const struct addrinfo *found)
{
	for (; found && target->n < TARGET_ADDRESSES; found = found->ai_next) {
		struct address *a = &target->addresses[target->n];

		if (found->ai_addrlen > sizeof(a->v6))
			continue;
		memset(a, 0, sizeof(*a));
		memcpy(&a->any, found->ai_addr, found->ai_addrlen);
		a->size = found->ai_addrlen;
		target->n++;
	}
}

int target_resolve(struct target *target, const char *text, int family, const char **reason)
{
	struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	char copy[256], *host;
	const char *port;
	int r;

	memset(target, 0, sizeof(*target));
	*reason = "not HOST, HOST:PORT or [IPv6]:PORT with a port up to 65535";
	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	if (split(copy, &host, &port) < 0)
		return -EINVAL;
	snprintf(target->name, sizeof(target->name), strchr(host, ':') ? "[%s]:%s" : "%s:%s", host,
		 port);
	r = getaddrinfo(host, port, &hints, &found);
	if (r != 0) {
		*reason = r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r);
		return -EINVAL;
	}
	take(target, found);
	freeaddrinfo(found);
	return 0;
}

static int set(int fd, int level, int name)
{
	int on = 1;

	return setsockopt(fd, level, name, &on, sizeof(on)) < 0 ? -errno : 0;
}

static int bind_to(int fd, const struct address *source)
{
	/* The port is chosen by connect(2), which can use it for several targets. */
	int r = set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);

	if (r == 0 && bind(fd, &source->any, source->size) < 0)
		r = -errno;
	return r;
}

int target_begin(const struct address *to, const struct address *source)
{
	int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	r = set(fd, IPPROTO_TCP, TCP_NODELAY);
	if (r == 0)
		r = set(fd, SOL_SOCKET, SO_OOBINLINE);
	if (r == 0 && source)
		r = bind_to(fd, source);
	if (r == 0 && connect(fd, &to->any, to->size) < 0 && errno != EINPROGRESS)
		r = -errno;
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

static bool met_itself(int fd)
{
	struct address here = { .size = sizeof(here.v6) }, there = { .size = sizeof(there.v6) };

	return getsockname(fd, &here.any, &here.size) == 0 &&
	       getpeername(fd, &there.any, &there.size) == 0 && address_equal(&here, &there);
}

int target_finish(int fd)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	if (error)
		return -error;
	return met_itself(fd) ? -ELOOP : 0;
}

/* One address.  A connected socket or -errno. */
static int connect_to(const struct address *to, int timeout_ms)
{
	int fd = target_begin(to, NULL);
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int r;

	if (fd < 0)
		return fd;
	r = poll(&p, 1, timeout_ms);
	r = r < 0 ? -errno : r == 0 ? -ETIMEDOUT : target_finish(fd);
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

int target_connect(const struct target *target, int timeout_ms, struct address *peer)
{
	int r = -ENOENT;

	for (size_t i = 0; i < target->n; i++) {
		*peer = target->addresses[i];
		r = connect_to(peer, timeout_ms);
		if (r >= 0)
			return r;
	}
	return r;
}

const char *target_error(int error)
{
	return error == ELOOP ? "the connection has met itself: nobody listens there" :
				strerror(error);
}
