#include "systemd/store.h"

#include <stdio.h>
#include <string.h>

#include "systemd/notify.h"

#define NAME_SIZE 64

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

static char *listener_name(int number, char name[static NAME_SIZE])
{
	snprintf(name, NAME_SIZE, STORE_LISTENER "%d", number);
	return name;
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

void store_add_listener(int number, int fd)
{
	char name[NAME_SIZE];

	(void)store_add(listener_name(number, name), fd);
}

void store_remove_listener(int number)
{
	char name[NAME_SIZE];

	store_remove(listener_name(number, name));
}

int store_listener_number(const char *name)
{
	char again[NAME_SIZE];
	int number;

	if (sscanf(name, STORE_LISTENER "%9d", &number) != 1)
		return -1;
	return strcmp(listener_name(number, again), name) == 0 ? number : -1;
}
