/* SPDX-License-Identifier: MIT */
#include "systemd/fdstore.h"

#include <stdio.h>
#include <string.h>

#include "systemd/notify.h"

/* FDNAME= of sd_notify(3) has up to 255 characters. */
#define TEXT_SIZE 320

static int tell(const char *what, const char *kind, int number, int fd)
{
	char text[TEXT_SIZE], digits[16] = "";

	if (number >= 0)
		snprintf(digits, sizeof(digits), "%d", number);
	snprintf(text, sizeof(text), "%s\nFDNAME=%s%s", what, kind, digits);
	return notify_send(text, fd, true);
}

int fdstore_add(const char *kind, int number, int fd)
{
	/* FDPOLL=0: the other end of a carrier is closed, for which it would be dropped. */
	return tell("FDSTORE=1\nFDPOLL=0", kind, number, fd);
}

void fdstore_remove(const char *kind, int number)
{
	(void)tell("FDSTOREREMOVE=1", kind, number, -1);
}

int fdstore_number(const char *name, const char *kind)
{
	size_t size = strlen(kind);
	char digits[16];
	int number;

	if (strncmp(name, kind, size) != 0 || sscanf(name + size, "%9d", &number) != 1)
		return -1;
	snprintf(digits, sizeof(digits), "%d", number);
	return strcmp(name + size, digits) == 0 ? number : -1; /* not "01" or "1x" */
}
