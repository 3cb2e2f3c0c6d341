/* SPDX-License-Identifier: MIT */
#include "echoc/target.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_PORT "7"

#define BAD_TARGET "not HOST, HOST:PORT or [IPv6]:PORT"
#define BAD_PORT "the port is not a number from 1 to 65535, nor a name in /etc/services"
#define BAD_NAME "not a name of a host: not UTF-8, or with characters that names cannot have"

/* Digits, or a name: getaddrinfo(3) takes "65543", "+65543" and " 65543" for 7. */
static bool is_port(const char *port)
{
	if (port[strspn(port, "0123456789")] == '\0')
		return strlen(port) <= 5 && atoi(port) >= 1 && atoi(port) <= 65535;
	return isalnum((unsigned char)*port);
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
	return **host && **port ? 0 : -EINVAL;
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

/* Why a name or a port cannot be looked up. */
static const char *lookup_error(int error)
{
	switch (error) {
	case EAI_SERVICE:
		return BAD_PORT;
	case EAI_ADDRFAMILY:
		return "it has no address of the kind that -4 or -6 asks for";
	case EAI_IDN_ENCODE:
		return BAD_NAME;
	case EAI_SYSTEM:
		return strerror(errno);
	default:
		return gai_strerror(error);
	}
}

int target_resolve(struct target *target, const char *text, int family, const char **reason)
{
	struct addrinfo hints = { .ai_family = family,
				  .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_IDN };
	struct addrinfo *found;
	char copy[256], *host;
	const char *port;
	int r;

	memset(target, 0, sizeof(*target));
	*reason = BAD_TARGET;
	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	if (split(copy, &host, &port) < 0)
		return -EINVAL;
	snprintf(target->name, sizeof(target->name), strchr(host, ':') ? "[%s]:%s" : "%s:%s", host,
		 port);
	setlocale(LC_CTYPE, "C.UTF-8"); /* what AI_IDN takes a name for */
	r = is_port(port) ? getaddrinfo(host, port, &hints, &found) : EAI_SERVICE;
	if (r != 0) {
		*reason = lookup_error(r);
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

int target_check_source(const struct address *source)
{
	int fd = socket(source->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = fd < 0 ? -errno : bind_to(fd, source);

	if (fd >= 0)
		close(fd);
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
	switch (error) {
	case ELOOP:
		return "self-connect: no process listens there";
	case ECONNRESET:
		return "Connection reset by peer, as by a limit or a restart of the server";
	case EADDRNOTAVAIL:
		return "Cannot assign requested address: all local ports are in use";
	case EMFILE:
		return "Too many open files: ulimit -Hn shows how many there may be";
	default:
		return strerror(error);
	}
}
