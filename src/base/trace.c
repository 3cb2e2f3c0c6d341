/* SPDX-License-Identifier: MIT */
#include "base/trace.h"

#include <stdint.h>
#include <stdio.h>

static const struct {
	uint32_t bit;
	const char *name;
} names[] = {
	{ EPOLLIN, "EPOLLIN" },	  { EPOLLOUT, "EPOLLOUT" }, { EPOLLRDHUP, "EPOLLRDHUP" },
	{ EPOLLHUP, "EPOLLHUP" }, { EPOLLERR, "EPOLLERR" }, { EPOLLPRI, "EPOLLPRI" },
};

static void put_names(uint32_t events)
{
	char separator = ' ';

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!(events & names[i].bit))
			continue;
		printf("%c%s", separator, names[i].name);
		separator = '|';
	}
}

void trace_init(void)
{
	static char buffer[BUFSIZ];

	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
}

void trace_batch(const char *thread, int wake_fd, const struct epoll_event *events, int n)
{
	flockfile(stdout); /* lines of several threads do not mix */
	printf("%s: %d event%s:", thread, n, n == 1 ? "" : "s");
	for (int i = 0; i < n; i++) {
		fputs(i ? ", " : " ", stdout);
		if (events[i].data.fd == wake_fd) {
			fputs("wake-up", stdout);
			continue;
		}
		printf("%d", events[i].data.fd);
		put_names(events[i].events);
	}
	putchar('\n');
	fflush(stdout);
	funlockfile(stdout);
}
