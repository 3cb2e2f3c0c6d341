/* SPDX-License-Identifier: MIT */
/*
 * libuv: an echo by streams, as its guide shows it, with two steps that save
 * work: one receive buffer for all, and uv_try_write() before uv_write(), which
 * only gets a copy of what the socket does not take.
 */
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "peer.h"

struct rest {
	uv_write_t request;
	char data[];
};

static char buffer[PEER_BUFFER];

static void on_buffer_wanted(uv_handle_t *client, size_t suggested, uv_buf_t *wanted)
{
	(void)client;
	(void)suggested;
	*wanted = uv_buf_init(buffer, sizeof(buffer));
}

static void on_closed(uv_handle_t *client)
{
	free(client);
}

static void finish(uv_stream_t *client)
{
	if (!uv_is_closing((uv_handle_t *)client))
		uv_close((uv_handle_t *)client, on_closed);
}

static void on_shut_down(uv_shutdown_t *request, int status)
{
	(void)status;
	finish(request->handle);
	free(request);
}

/* Closes when all is sent. */
static void end(uv_stream_t *client)
{
	uv_shutdown_t *request = malloc(sizeof(*request));

	if (!request)
		peer_die("malloc");
	uv_read_stop(client);
	if (uv_shutdown(request, client, on_shut_down) < 0) {
		free(request);
		finish(client);
	}
}

static void on_read(uv_stream_t *client, ssize_t n, const uv_buf_t *buf);

static void on_sent(uv_write_t *request, int status)
{
	uv_stream_t *client = request->handle;

	free(request);
	if (status < 0)
		finish(client);
	else
		uv_read_start(client, on_buffer_wanted, on_read);
}

/* Has libuv send the rest, and reads no more until it is sent. */
static void send_later(uv_stream_t *client, const char *data, size_t size)
{
	struct rest *r = malloc(sizeof(*r) + size);
	uv_buf_t rest;

	if (!r)
		peer_die("malloc");
	memcpy(r->data, data, size);
	rest = uv_buf_init(r->data, (unsigned)size);
	uv_read_stop(client);
	uv_write(&r->request, client, &rest, 1, on_sent);
}

static void on_read(uv_stream_t *client, ssize_t n, const uv_buf_t *buf)
{
	uv_buf_t echo;
	int sent;

	if (n == UV_EOF) {
		end(client);
		return;
	}
	if (n < 0) {
		finish(client);
		return;
	}
	echo = uv_buf_init(buf->base, (unsigned)n);
	sent = uv_try_write(client, &echo, 1);
	if (sent == UV_EAGAIN)
		sent = 0;
	if (sent < 0)
		finish(client);
	else if (sent < n)
		send_later(client, buf->base + sent, (size_t)(n - sent));
}

static void on_connection(uv_stream_t *listener, int status)
{
	uv_tcp_t *client = malloc(sizeof(*client));

	if (status < 0 || !client)
		peer_die("connection");
	uv_tcp_init(listener->loop, client);
	if (uv_accept(listener, (uv_stream_t *)client) == 0)
		uv_read_start((uv_stream_t *)client, on_buffer_wanted, on_read);
	else
		finish((uv_stream_t *)client);
}

int main(int argc, char *argv[])
{
	int fd = peer_listen(argc, argv, SOCK_NONBLOCK);
	uv_tcp_t listener;

	uv_tcp_init(uv_default_loop(), &listener);
	if (uv_tcp_open(&listener, fd) < 0 ||
	    uv_listen((uv_stream_t *)&listener, 4096, on_connection) < 0)
		peer_die("libuv");
	return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
