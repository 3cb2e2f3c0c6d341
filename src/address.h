/*
 * address: where to listen or to connect, an IP address with a port.
 *
 * Text is "ADDR:PORT" for IPv4 and "[ADDR]:PORT" for IPv6 (RFC 3986, 3.2.2),
 * with a zone where one is needed ("[fe80::1%eth0]:7"), always numeric.
 *
 * Pure functions: any thread.
 */
#ifndef ECHOD_ADDRESS_H
#define ECHOD_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t size; /* of the member that any.sa_family names */
};

/* Enough for "[" + the longest IPv6 text + "%" + a zone + "]:65535" + NUL. */
#define ADDRESS_TEXT 96

/* 0, or -EINVAL if the text is not an address with a port from 0 to 65535. */
int address_parse(struct address *address, const char *text);

/* Writes the text into buffer, and returns buffer. */
char *address_format(const struct address *address, char buffer[static ADDRESS_TEXT]);

/* The port, in host order. */
unsigned address_port(const struct address *address);

/* True for 127.0.0.0/8, also mapped into IPv6, and ::1. */
bool address_is_loopback(const struct address *address);

/* Same family, address, zone and port. */
bool address_equal(const struct address *a, const struct address *b);

#endif
