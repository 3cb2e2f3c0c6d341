/* SPDX-License-Identifier: MIT */
/*
 * libev: an echo by ev(3).
 *
 * libev tells of readiness and leaves the sockets to us: recv and send on the
 * event, and another watcher as long as something waits to be sent.
 */
#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

struct client {
	ev_io reader, writer;
	size_t size, sent; /* of rest */
	char *rest;
};

static char buffer[PEER_BUFFER];

static void finish(struct ev_loop *loop, struct client *c)
{
	ev_io_stop(loop, &c->reader);
	ev_io_stop(loop, &c->writer);
	close(c->reader.fd);
	free(c->rest);
	free(c);
}

/* Keeps what was not sent, and waits until the socket takes more. */
static void wait_writable(struct ev_loop *loop, struct client *c, const char *data, size_t size)
{
	c->rest = malloc(size);
	if (!c->rest)
		peer_die("malloc");
	memcpy(c->rest, data, size);
	c->size = size;
	c->sent = 0;
	ev_io_stop(loop, &c->reader);
	ev_io_start(loop, &c->writer);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct client *c = watcher->data;
	ssize_t got = recv(watcher->fd, buffer, sizeof(buffer), 0);
	ssize_t sent;

	(void)events;
	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		finish(loop, c);
		return;
	}
	sent = send(watcher->fd, buffer, (size_t)got, 0);
	if (sent < 0 && errno != EAGAIN)
		finish(loop, c);
	else if (sent < got)
		wait_writable(loop, c, buffer + (sent > 0 ? sent : 0),
			      (size_t)(got - (sent > 0 ? sent : 0)));
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct client *c = watcher->data;
	ssize_t n = send(watcher->fd, c->rest + c->sent, c->size - c->sent, 0);

	(void)events;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0) {
		finish(loop, c);
		return;
	}
	c->sent += (size_t)n;
	if (c->sent < c->size)
		return;
	free(c->rest);
	c->rest = NULL;
	ev_io_stop(loop, &c->writer);
	ev_io_start(loop, &c->reader);
}

static void on_connection(struct ev_loop *loop, ev_io *watcher, int events)
{
	int fd;

	(void)events;
	while ((fd = accept4(watcher->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct client *c = calloc(1, sizeof(*c));

		if (!c)
			peer_die("calloc");
		ev_io_init(&c->reader, on_readable, fd, EV_READ);
		ev_io_init(&c->writer, on_writable, fd, EV_WRITE);
		c->reader.data = c->writer.data = c;
		ev_io_start(loop, &c->reader);
	}
}

int main(int argc, char *argv[])
{
	int fd = peer_listen(argc, argv, SOCK_NONBLOCK);
	struct ev_loop *loop = ev_default_loop(0);
	ev_io listener;

	ev_io_init(&listener, on_connection, fd, EV_READ);
	ev_io_start(loop, &listener);
	ev_run(loop, 0);
	return 0;
}
