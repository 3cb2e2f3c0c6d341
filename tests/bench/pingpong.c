/*
 * pingpong: makes a server echo small messages as fast as it can.
 *
 *     pingpong PORT CONNECTIONS SECONDS SIZE
 *
 * Each connection sends a message of SIZE bytes, waits until all of it is
 * back, and sends the next.  Prints how many came back.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 512
#define MAX_FD 65536

static size_t received[MAX_FD]; /* of the current message, by descriptor */
static char message[65536];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int open_one(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || fd >= MAX_FD || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror("pingpong");
		exit(2);
	}
	return fd;
}

/* Takes what has come, and serves again when the message is whole.  1 if so. */
static int take(int fd, size_t size)
{
	char data[sizeof(message)];
	ssize_t n = recv(fd, data, size - received[fd], 0);

	if (n <= 0 || memcmp(data, message + received[fd], (size_t)n) != 0) {
		fprintf(stderr, "pingpong: wrong bytes, or none\n");
		exit(1);
	}
	received[fd] += (size_t)n;
	if (received[fd] < size)
		return 0;
	received[fd] = 0;
	send(fd, message, size, 0);
	return 1;
}

int main(int argc, char *argv[])
{
	struct epoll_event events[BATCH];
	int epoll_fd = epoll_create1(0);
	uint64_t count = 0;
	size_t size;
	double end;

	if (argc != 5 || (size = (size_t)atoi(argv[4])) > sizeof(message)) {
		fprintf(stderr, "usage: pingpong PORT CONNECTIONS SECONDS SIZE\n");
		return 2;
	}
	for (size_t i = 0; i < size; i++)
		message[i] = (char)(i * 31);
	for (int i = 0; i < atoi(argv[2]); i++) {
		struct epoll_event e = { .events = EPOLLIN };

		e.data.fd = open_one((uint16_t)atoi(argv[1]));
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, e.data.fd, &e);
		send(e.data.fd, message, size, 0);
	}
	for (end = now() + atof(argv[3]); now() < end;) {
		int n = epoll_wait(epoll_fd, events, BATCH, 1000);

		for (int i = 0; i < n; i++)
			count += (uint64_t)take(events[i].data.fd, size);
	}
	printf("%llu\n", (unsigned long long)count);
	return 0;
}
