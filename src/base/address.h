/* SPDX-License-Identifier: MIT */
/*
 * address: where to listen or to connect, an IP address with a port.
 *
 * Text is "ADDR:PORT" for IPv4 and "[ADDR]:PORT" for IPv6 (RFC 3986, 3.2.2), always
 * numeric.  A link-local address has a zone, its interface by name or by number
 * ("[fe80::1%eth0]:7", RFC 4007, 11).
 *
 * The zone is kept as text: whether the interface exists is a state of the machine, which
 * can change, and no property of the address.
 *
 * Any thread; all but address_resolve() and address_format() are pure.
 */
#ifndef ECHOD_ADDRESS_H
#define ECHOD_ADDRESS_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

struct address {
	union { /* the largest first: an initializer may clear that one only */
		struct sockaddr_in6 v6;
		struct sockaddr_in v4;
		struct sockaddr any;
	};
	socklen_t size;		/* of the member that any.sa_family names */
	char zone[IF_NAMESIZE]; /* as written; "": none, or it is resolved in sin6_scope_id */
};

/* Enough for "[" + the longest IPv6 text + "%" + a zone + "]:65535" + NUL. */
#define ADDRESS_TEXT 96

/* 0, or -EINVAL if the text is not an address with a port from 0 to 65535. */
int address_parse(struct address *address, const char *text);

/* Why an address cannot be listened on, on any machine, to end a message; or NULL. */
const char *address_unfit(const struct address *address);

/*
 * Finds the interface that the zone names, so that *resolved can be given to
 * bind(2).  Without a zone it is a copy.  0, or -ENODEV if there is no such
 * interface now.
 */
int address_resolve(const struct address *address, struct address *resolved);

/* Writes the text into buffer, and returns buffer. */
char *address_format(const struct address *address, char buffer[static ADDRESS_TEXT]);

/* The port, in host order. */
unsigned address_port(const struct address *address);
void address_set_port(struct address *address, unsigned port);

/* True for 127.0.0.0/8, also mapped into IPv6, and ::1. */
bool address_is_loopback(const struct address *address);

/* Same family, address, port and zone, which is compared as text and as number. */
bool address_equal(const struct address *a, const struct address *b);

#endif
