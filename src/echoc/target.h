/* SPDX-License-Identifier: MIT */
/*
 * target: the server, by name or address, and connecting to it.
 *
 * Text is "HOST", "HOST:PORT", "[IPv6]" or "[IPv6]:PORT"; HOST is a name or an
 * IPv4 address, PORT 7 (RFC 862) if it is not there.
 */
#ifndef ECHOC_TARGET_H
#define ECHOC_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"

#define TARGET_ADDRESSES 16

struct target {
	char name[300]; /* as given, with its port: "example.org:7" */
	struct address addresses[TARGET_ADDRESSES];
	size_t n;
};

/*
 * Looks the name up, which is UTF-8, and an IDN if it is not ASCII; this may take
 * time.  Returns 0, or -EINVAL, with what is wrong in *reason, a static text.
 * Main thread: it sets LC_CTYPE.
 */
int target_resolve(struct target *target, const char *text, int family, const char **reason);

/* 0 if connections can come from this address, whose port is not used; or -errno. */
int target_check_source(const struct address *source);

/*
 * Begins to connect to one of the addresses, from source (NULL: any; its port
 * is not used).  Returns a non-blocking socket with TCP_NODELAY and
 * SO_OOBINLINE, the caller's to close, whose connect may still be under way;
 * or -errno.
 */
int target_begin(const struct address *to, const struct address *source);

/*
 * What became of a begun connect, once the socket is writable: 0 or -errno.
 * -ELOOP: a self-connect, which looks like an echo and is none
 * (a connect to a dead port within the range of local ports can do that).
 */
int target_finish(int fd);

/*
 * Connects to the first address that answers, each in timeout_ms.  Returns the
 * non-blocking socket, and the address in *peer; or -errno of the last one.
 */
int target_connect(const struct target *target, int timeout_ms, struct address *peer);

/* The text for an errno of the above. */
const char *target_error(int error);

#endif
