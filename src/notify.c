#include "notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

#define TRIES 3

#define BARRIER_USEC 5000000

/* Much longer than any text of ours. */
#define TEXT_SIZE 512

void notify_tell(const char *text, int fd)
{
	for (int i = 0; i < TRIES; i++)
		if (sd_pid_notify_with_fds(0, 0, text, &fd, fd >= 0) >= 0)
			return;
}

void notify_tellf(const char *fmt, ...)
{
	char text[TEXT_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	notify_tell(text, -1);
}

void notify_barrier(void)
{
	for (int i = 0; i < TRIES; i++) {
		int r = sd_notify_barrier(0, BARRIER_USEC);

		if (r >= 0 || r == -ETIMEDOUT)
			return;
	}
}
