#include "store.h"

#include <stdio.h>

#include "notify.h"

#define NAME_SIZE (sizeof(STORE_LISTENER) + ADDRESS_TEXT)

int store_add(const char *name, int fd)
{
	char text[NAME_SIZE + 64];

	/* FDPOLL=0: the other end of a carrier is closed, which is no reason to drop it. */
	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	return notify_tell(text, fd, true);
}

void store_remove(const char *name)
{
	char text[NAME_SIZE + 64];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	(void)notify_tell(text, -1, true);
}

void store_barrier(void)
{
	notify_barrier();
}

static char *carrier_name(size_t i, char name[static NAME_SIZE])
{
	snprintf(name, NAME_SIZE, STORE_CARRIER "%zu", i);
	return name;
}

int store_add_carrier(size_t i, int fd)
{
	char name[NAME_SIZE];

	return store_add(carrier_name(i, name), fd);
}

void store_remove_carrier(size_t i)
{
	char name[NAME_SIZE];

	store_remove(carrier_name(i, name));
}

static char *listener_name(const struct address *address, char name[static NAME_SIZE])
{
	char text[ADDRESS_TEXT];

	snprintf(name, NAME_SIZE, STORE_LISTENER "%s", address_format(address, text));
	for (char *c = name; *c; c++)
		if (*c == ':') /* it separates names, see sd_listen_fds_with_names(3) */
			*c = '_';
	return name;
}

void store_add_listener(const struct address *address, int fd)
{
	char name[NAME_SIZE];

	(void)store_add(listener_name(address, name), fd);
}

void store_remove_listener(const struct address *address)
{
	char name[NAME_SIZE];

	store_remove(listener_name(address, name));
}
