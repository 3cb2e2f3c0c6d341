/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct rest {
	size_t size, sent;
	unsigned char data[];
};

static struct rest **rests; /* by descriptor */
static unsigned char buffer[MODEL_BUFFER];
static int reserve = -1;

void model_complain(const char *why)
{
	static bool said;

	if (!said)
		fprintf(stderr, "refused a connection: %s\n", why);
	said = true;
}

size_t model_descriptors(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	return (size_t)limit.rlim_cur;
}

/* True if a descriptor is held in reserve. */
static bool take_reserve(void)
{
	if (reserve < 0)
		reserve = open("/dev/null", O_RDONLY);
	return reserve >= 0;
}

int model_listen(int flags)
{
	int fd;

	if (!take_reserve())
		peer_die("/dev/null");
	fd = peer_listen(1, NULL, flags);
	rests = calloc(model_descriptors(), sizeof(struct rest *));
	if (!rests)
		peer_die("no memory");
	return fd;
}

static bool is_lack(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

int model_accept(int listener, int flags)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, flags);
		int error = errno;

		if (fd < 0 && is_lack(error)) {
			if (reserve < 0)
				peer_die("accept");
			close(reserve);
			reserve = -1;
		} else if (take_reserve()) {
			if (fd >= 0 || error == EAGAIN)
				return fd;
			/* any other error was the connection's: accept(2) */
		} else {
			model_complain(strerror(errno));
			close(fd);
			take_reserve();
		}
	}
}

static bool keep(int fd, const unsigned char *data, size_t size)
{
	struct rest *r = malloc(sizeof(*r) + size);

	if (!r)
		return false;
	r->size = size;
	r->sent = 0;
	memcpy(r->data, data, size);
	rests[fd] = r;
	return true;
}

static void forget(int fd)
{
	free(rests[fd]);
	rests[fd] = NULL;
}

/* Sends until all is sent or EAGAIN.  Returns how much went, or -1. */
static ssize_t send_out(int fd, const unsigned char *data, size_t size)
{
	size_t sent = 0;

	while (sent < size) {
		ssize_t n = send(fd, data + sent, size - sent, MSG_NOSIGNAL);

		if (n >= 0)
			sent += (size_t)n;
		else if (errno == EAGAIN)
			break;
		else
			return -1;
	}
	return (ssize_t)sent;
}

enum model_want model_send(int fd)
{
	struct rest *r = rests[fd];
	ssize_t sent = send_out(fd, r->data + r->sent, r->size - r->sent);

	if (sent < 0)
		return MODEL_END;
	r->sent += (size_t)sent;
	if (r->sent < r->size)
		return MODEL_WRITE;
	forget(fd);
	return MODEL_MORE;
}

/* Receives once.  Returns as a turn, MODEL_WRITE if something came. */
static enum model_want receive(int fd, size_t *got)
{
	ssize_t n = recv(fd, buffer, sizeof(buffer), 0);

	*got = n > 0 ? (size_t)n : 0;
	if (n > 0)
		return MODEL_WRITE;
	return n < 0 && errno == EAGAIN ? MODEL_READ : MODEL_END;
}

enum model_want model_receive(int fd)
{
	size_t got;
	enum model_want want = receive(fd, &got);

	if (want == MODEL_WRITE && !keep(fd, buffer, got))
		return MODEL_END;
	return want;
}

enum model_want model_turn(int fd)
{
	enum model_want want;
	size_t got;
	ssize_t sent;

	if (rests[fd])
		return model_send(fd);
	want = receive(fd, &got);
	if (want != MODEL_WRITE)
		return want;
	sent = send_out(fd, buffer, got);
	if (sent == (ssize_t)got)
		return MODEL_MORE;
	if (sent < 0 || !keep(fd, buffer + sent, got - (size_t)sent))
		return MODEL_END;
	return MODEL_WRITE;
}

void model_close(int fd)
{
	forget(fd);
	close(fd);
}
