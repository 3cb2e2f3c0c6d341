/* SPDX-License-Identifier: MIT */
/*
 * libevent: an echo by bufferevents, as the book of libevent shows it: what is
 * in the input buffer moves to the output buffer without a copy.
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "peer.h"

static void on_event(struct bufferevent *b, short events, void *arg);
static void on_drained(struct bufferevent *b, void *ended);

static void on_read(struct bufferevent *b, void *arg)
{
	struct evbuffer *output = bufferevent_get_output(b);

	(void)arg;
	bufferevent_write_buffer(b, bufferevent_get_input(b));
	if (evbuffer_get_length(output) <= PEER_UNSENT)
		return;
	bufferevent_disable(b, EV_READ);
	bufferevent_setcb(b, on_read, on_drained, on_event, NULL);
}

/* All is sent that had to be: the end, or time to read again. */
static void on_drained(struct bufferevent *b, void *ended)
{
	if (ended) {
		bufferevent_free(b);
		return;
	}
	bufferevent_setcb(b, on_read, NULL, on_event, NULL);
	bufferevent_enable(b, EV_READ);
}

static void on_event(struct bufferevent *b, short events, void *arg)
{
	(void)arg;
	if ((events & BEV_EVENT_EOF) && evbuffer_get_length(bufferevent_get_output(b)) > 0)
		bufferevent_setcb(b, NULL, on_drained, on_event, b);
	else if (events & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		bufferevent_free(b);
}

static void on_connection(struct evconnlistener *listener, evutil_socket_t fd,
			  struct sockaddr *address, int size, void *arg)
{
	struct event_base *base = evconnlistener_get_base(listener);
	struct bufferevent *b = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

	(void)address;
	(void)size;
	(void)arg;
	if (!b)
		peer_die("bufferevent_socket_new");
	bufferevent_setcb(b, on_read, NULL, on_event, NULL);
	bufferevent_enable(b, EV_READ | EV_WRITE);
}

int main(int argc, char *argv[])
{
	int fd = peer_listen(argc, argv, SOCK_NONBLOCK);
	struct event_base *base = event_base_new();

	if (!base || !evconnlistener_new(base, on_connection, NULL, 0, 0, fd))
		peer_die("libevent");
	return event_base_dispatch(base);
}
