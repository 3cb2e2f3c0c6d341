/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_WORKERS 256

void peer_die(const char *what)
{
	perror(what);
	exit(1);
}

static void raise_limit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static bool set(int fd, int level, int option)
{
	int one = 1;

	return setsockopt(fd, level, option, &one, sizeof(one)) == 0;
}

/* A listening socket on *port, or on a free one, which is then in *port. */
static int listen_on(in_port_t *port, int flags)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = *port };
	struct sockaddr *generic = (struct sockaddr *)&address;
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | flags, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!set(fd, SOL_SOCKET, SO_REUSEADDR) || !set(fd, SOL_SOCKET, SO_REUSEPORT) ||
	    !set(fd, IPPROTO_TCP, TCP_NODELAY) || bind(fd, generic, size) < 0 ||
	    listen(fd, 4096) < 0 || getsockname(fd, generic, &size) < 0)
		peer_die("cannot listen");
	*port = address.sin_port;
	return fd;
}

/* Forks the workers but the first; returns the number of the one that we are. */
static int split(int workers)
{
	pid_t first = getpid();

	for (int i = 1; i < workers; i++) {
		if (fork() != 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != first)
			_exit(1);
		return i;
	}
	return 0;
}

int peer_listen(int argc, char *argv[], int flags)
{
	int workers = argc > 1 ? atoi(argv[1]) : 1;
	int fds[MOST_WORKERS];
	in_port_t port = 0;
	int self;

	if (workers < 1 || workers > MOST_WORKERS)
		workers = 1;
	signal(SIGPIPE, SIG_IGN);
	raise_limit();
	for (int i = 0; i < workers; i++)
		fds[i] = listen_on(&port, flags);
	self = split(workers);
	for (int i = 0; i < workers; i++)
		if (i != self)
			close(fds[i]);
	if (self == 0) {
		printf("%u\n", ntohs(port));
		fflush(stdout);
	}
	return fds[self];
}
