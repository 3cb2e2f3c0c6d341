/* SPDX-License-Identifier: MIT */
#include "systemd/fdstore.h"

#include <stdio.h>

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
