/* SPDX-License-Identifier: MIT */
#include "base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port),
	       "both families have the port in one place");

/*
 * Cuts "HOST:PORT" or "[HOST]:PORT" in two, in place.  The family follows
 * from the brackets: without them a colon of an IPv6 address would be taken
 * for the port's.
 */
static int split(char *text, char **host, char **port)
{
	if (text[0] == '[') {
		char *close = strchr(text, ']');

		if (!close || close[1] != ':')
			return -EINVAL;
		*close = '\0';
		*host = text + 1;
		*port = close + 2;
		return AF_INET6;
	}
	*port = strchr(text, ':');
	if (!*port)
		return -EINVAL;
	*(*port)++ = '\0';
	*host = text;
	return AF_INET;
}

/* Nothing but digits: strtol(3) would take "+7" and " 7". */
static bool is_number(const char *text)
{
	return *text && text[strspn(text, "0123456789")] == '\0';
}

static bool is_port(const char *text)
{
	return is_number(text) && strlen(text) <= 5 && atoi(text) <= 65535;
}

static bool is_link_local(const struct address *address)
{
	return IN6_IS_ADDR_LINKLOCAL(&address->v6.sin6_addr);
}

/*
 * An interface's number, in 32 bits, or a possible name of one: of those that the kernel
 * allows, those that need no escape in a message and between quotes.
 */
static bool is_zone(const char *text)
{
	size_t n = strlen(text);

	if (n == 0 || n >= IF_NAMESIZE)
		return false;
	if (is_number(text))
		return strtoull(text, NULL, 10) <= UINT32_MAX;
	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c > '~' || strchr("/:%[]\"'\\${}", *c))
			return false;
	return strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

/*
 * Only a link-local address has a zone.  In any other a number is accepted, as
 * getaddrinfo(3) does, and is not kept, as it means nothing.
 */
static int parse_ipv6(struct address *address, char *host)
{
	char *zone = strchr(host, '%');

	if (zone)
		*zone++ = '\0';
	if (inet_pton(AF_INET6, host, &address->v6.sin6_addr) != 1 || (zone && !is_zone(zone)))
		return -EINVAL;
	if (zone && is_link_local(address))
		strcpy(address->zone, zone);
	else if (zone && !is_number(zone))
		return -EINVAL;
	return 0;
}

int address_parse(struct address *address, const char *text)
{
	char copy[ADDRESS_TEXT], *host, *port;
	int family, r = 0;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	family = split(copy, &host, &port);
	if (family < 0 || !is_port(port))
		return -EINVAL;
	memset(address, 0, sizeof(*address));
	address->any.sa_family = (sa_family_t)family;
	address->size = family == AF_INET ? sizeof(address->v4) : sizeof(address->v6);
	if (family == AF_INET6)
		r = parse_ipv6(address, host);
	else if (inet_pton(AF_INET, host, &address->v4.sin_addr) != 1)
		r = -EINVAL;
	if (r == 0)
		address_set_port(address, (unsigned)atoi(port));
	return r;
}

const char *address_unfit(const struct address *address)
{
	const struct in6_addr *v6 = &address->v6.sin6_addr;
	bool is_v4 = address->any.sa_family == AF_INET;

	if (is_v4 ? IN_MULTICAST(ntohl(address->v4.sin_addr.s_addr)) : IN6_IS_ADDR_MULTICAST(v6))
		return "it is a multicast address, and TCP has none";
	if (is_v4)
		return NULL;
	if (IN6_IS_ADDR_V4MAPPED(v6))
		return "an IPv4 address is written as \"192.0.2.1:7\"";
	if (is_link_local(address) && !*address->zone)
		return "a link-local address needs its interface, as in \"[fe80::1%eth0]:7\"";
	return NULL;
}

int address_resolve(const struct address *address, struct address *resolved)
{
	unsigned index;

	*resolved = *address;
	if (!*address->zone)
		return 0;
	index = if_nametoindex(address->zone);
	if (index == 0 && is_number(address->zone)) /* bind(2) knows whether it is there */
		index = (unsigned)strtoull(address->zone, NULL, 10);
	if (index == 0)
		return -ENODEV;
	resolved->v6.sin6_scope_id = index;
	memset(resolved->zone, 0, sizeof(resolved->zone));
	return 0;
}

char *address_format(const struct address *address, char buffer[static ADDRESS_TEXT])
{
	char host[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE], port[6];

	if (getnameinfo(&address->any, address->size, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(buffer, ADDRESS_TEXT, "(unknown)");
	else if (address->any.sa_family == AF_INET6)
		snprintf(buffer, ADDRESS_TEXT, "[%s%s%s]:%s", host, *address->zone ? "%" : "",
			 address->zone, port);
	else
		snprintf(buffer, ADDRESS_TEXT, "%s:%s", host, port);
	return buffer;
}

unsigned address_port(const struct address *address)
{
	return ntohs(address->v4.sin_port); /* and sin6_port, see above */
}

bool address_is_loopback(const struct address *address)
{
	const struct in6_addr *v6 = &address->v6.sin6_addr;

	if (address->any.sa_family == AF_INET)
		return ntohl(address->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(v6) ||
	       (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == IN_LOOPBACKNET);
}

void address_set_port(struct address *address, unsigned port)
{
	address->v4.sin_port = htons((uint16_t)port);
}

bool address_equal(const struct address *a, const struct address *b)
{
	if (a->any.sa_family != b->any.sa_family || address_port(a) != address_port(b))
		return false;
	if (a->any.sa_family == AF_INET)
		return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &b->v6.sin6_addr) &&
	       a->v6.sin6_scope_id == b->v6.sin6_scope_id && strcmp(a->zone, b->zone) == 0;
}
