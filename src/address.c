#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* getaddrinfo() takes "+7" and " 7", and cuts 65543 to 7. */
static bool is_port(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits > 0 && digits <= 5 && text[digits] == '\0' && atoi(text) <= 65535;
}

/* getaddrinfo() takes "127.1" and octal parts; people read these differently. */
static bool is_plain_ipv4(const char *host)
{
	struct in_addr ignored;

	return inet_pton(AF_INET, host, &ignored) == 1;
}

int address_parse(struct address *address, const char *text)
{
	struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *found;
	char copy[ADDRESS_TEXT], *host, *port;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	hints.ai_family = split(copy, &host, &port);
	if (hints.ai_family < 0 || *host == '\0' || !is_port(port))
		return -EINVAL;
	if (hints.ai_family == AF_INET && !is_plain_ipv4(host))
		return -EINVAL;
	if (getaddrinfo(host, port, &hints, &found) != 0)
		return -EINVAL;
	memset(address, 0, sizeof(*address));
	memcpy(&address->any, found->ai_addr, found->ai_addrlen);
	address->size = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

char *address_format(const struct address *address, char buffer[static ADDRESS_TEXT])
{
	char host[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE], port[6];

	if (getnameinfo(&address->any, address->size, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(buffer, ADDRESS_TEXT, "(unknown)");
	else if (address->any.sa_family == AF_INET6)
		snprintf(buffer, ADDRESS_TEXT, "[%s]:%s", host, port);
	else
		snprintf(buffer, ADDRESS_TEXT, "%s:%s", host, port);
	return buffer;
}

unsigned address_port(const struct address *address)
{
	return ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port :
							  address->v4.sin_port);
}

bool address_is_loopback(const struct address *address)
{
	const struct in6_addr *v6 = &address->v6.sin6_addr;

	if (address->any.sa_family == AF_INET)
		return ntohl(address->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(v6) ||
	       (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == IN_LOOPBACKNET);
}

bool address_equal(const struct address *a, const struct address *b)
{
	if (a->any.sa_family != b->any.sa_family || address_port(a) != address_port(b))
		return false;
	if (a->any.sa_family == AF_INET)
		return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &b->v6.sin6_addr) &&
	       a->v6.sin6_scope_id == b->v6.sin6_scope_id;
}
