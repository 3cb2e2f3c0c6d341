/*
 * swarm: many connections at once, each echoing data of its own.
 *
 *     swarm PORT CONNECTIONS BYTES
 *
 * Connects CONNECTIONS times to 127.0.0.1:PORT.  When all are connected prints
 * "connected" and waits for a line on standard input.  Then every connection
 * sends BYTES bytes, which depend on its number and their position, and FIN,
 * while it compares what comes back, up to FIN.  Prints what it has done and
 * exits 0 if every byte of every connection came back, 1 if not, 2 if it
 * could not begin.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK 16384
#define BATCH 256
#define PATIENCE_MS 60000

struct client {
	int fd;
	uint32_t number;
	uint64_t sent, received;
	bool half_closed, done;
};

static uint64_t size;
static uint64_t failures;

/* The byte of a stream: a 64-bit mix (splitmix64) of its number and position. */
static void make(uint32_t number, uint64_t position, unsigned char *data, size_t n)
{
	for (size_t i = 0; i < n;) {
		uint64_t at = position + i;
		uint64_t x = (((uint64_t)number << 32) + at / 8) * 0x9e3779b97f4a7c15;

		x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
		x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
		x ^= x >> 31;
		for (unsigned k = at % 8; k < 8 && i < n; k++)
			data[i++] = (unsigned char)(x >> (8 * k));
	}
}

static void finish(struct client *c, const char *failure)
{
	if (failure) {
		failures++;
		fprintf(stderr, "connection %u, sent %llu, received %llu: %s\n", c->number,
			(unsigned long long)c->sent, (unsigned long long)c->received, failure);
	}
	close(c->fd);
	c->done = true;
}

static void send_some(struct client *c)
{
	unsigned char data[CHUNK];

	while (c->sent < size) {
		size_t want = size - c->sent < CHUNK ? (size_t)(size - c->sent) : CHUNK;
		ssize_t n;

		make(c->number, c->sent, data, want);
		n = send(c->fd, data, want, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			finish(c, strerror(errno));
			return;
		}
		c->sent += (uint64_t)n;
	}
	if (!c->half_closed)
		c->half_closed = shutdown(c->fd, SHUT_WR) == 0;
}

static void receive_some(struct client *c)
{
	unsigned char data[CHUNK], expected[CHUNK];

	for (;;) {
		ssize_t n = recv(c->fd, data, sizeof(data), 0);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			finish(c, n < 0		      ? strerror(errno) :
				  c->received == size ? NULL :
							"ended early");
			return;
		}
		make(c->number, c->received, expected, (size_t)n);
		c->received += (uint64_t)n;
		if (c->received > c->sent || memcmp(data, expected, (size_t)n) != 0) {
			finish(c, "wrong bytes");
			return;
		}
	}
}

static int open_one(struct client *c, uint32_t number, const struct sockaddr_in *to)
{
	c->number = number;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
		return -errno;
	return fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static uint32_t open_all(struct client *clients, uint32_t n, uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct rlimit limit;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (uint32_t i = 0; i < n; i++) {
		int r = open_one(&clients[i], i, &to);

		if (r < 0) {
			fprintf(stderr, "connection %u: %s\n", i, strerror(-r));
			return i;
		}
	}
	return n;
}

static void talk(struct client *clients, uint32_t n, int epoll_fd)
{
	struct epoll_event events[BATCH];
	uint32_t left = n;

	for (uint32_t i = 0; i < n; i++) {
		struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLET };

		e.data.ptr = &clients[i];
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, clients[i].fd, &e);
	}
	while (left > 0) {
		int k = epoll_wait(epoll_fd, events, BATCH, PATIENCE_MS);

		if (k <= 0) {
			fprintf(stderr, "silence, with %u connections left\n", left);
			failures += left;
			return;
		}
		for (int i = 0; i < k; i++) {
			struct client *c = events[i].data.ptr;

			send_some(c);
			if (!c->done)
				receive_some(c);
			left -= c->done;
		}
	}
}

int main(int argc, char *argv[])
{
	uint32_t n = argc == 4 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
	struct client *clients = calloc(n, sizeof(*clients));
	uint64_t total = 0;

	if (n == 0 || !clients) {
		fprintf(stderr, "usage: swarm PORT CONNECTIONS BYTES\n");
		return 2;
	}
	size = strtoull(argv[3], NULL, 10);
	if (open_all(clients, n, (uint16_t)strtoul(argv[1], NULL, 10)) < n)
		return 2;
	puts("connected");
	fflush(stdout);
	while (getchar() != '\n' && !feof(stdin))
		;
	talk(clients, n, epoll_create1(EPOLL_CLOEXEC));
	for (uint32_t i = 0; i < n; i++)
		total += clients[i].received;
	printf("%u connections, %llu bytes each, %llu bytes came back, %llu failures\n", n,
	       (unsigned long long)size, (unsigned long long)total, (unsigned long long)failures);
	free(clients);
	return failures || total != size * n;
}
