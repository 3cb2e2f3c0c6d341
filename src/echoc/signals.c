/* SPDX-License-Identifier: MIT */
#include "echoc/signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/process.h"

static sigset_t before; /* what was blocked */
static bool asked;	/* to end */

int signals_open(const int *numbers)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (; *numbers; numbers++) {
		struct sigaction action;

		/* One that is blocked would come, though it is ignored. */
		if (sigaction(*numbers, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(&set, *numbers);
	}
	asked = false;
	sigprocmask(SIG_BLOCK, &set, &before);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int signals_next(int fd)
{
	int signal = process_next_signal(fd);

	asked |= signal == SIGTERM || signal == SIGINT || signal == SIGHUP;
	return signal;
}

bool signals_await_room(int fd, int out)
{
	struct pollfd p[] = { { .fd = out, .events = POLLOUT }, { .fd = fd, .events = POLLIN } };

	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	return p[0].revents != 0;
}

bool signals_close(int fd)
{
	struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };
	bool waits = asked && poll(&p, 1, 0) == 0;

	while (signals_next(fd) != 0)
		;
	close(fd);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (waits)
		fputs("echoc: standard output: it is not read, so the result is lost\n", stderr);
	return !waits;
}
