/* SPDX-License-Identifier: MIT */
/*
 * poll: an array says which sockets to wait for, and for what.
 *
 * There is no FD_SETSIZE.  But each call copies the whole array in and its
 * results out, the kernel asks every socket anew, and this program looks
 * through the array for those that are ready: the work grows with the number
 * of connections, however few are ready.
 */
#include <poll.h>
#include <stdlib.h>

#include "model.h"

static struct pollfd *sockets; /* the first is the listener */
static nfds_t count;

static void add(int fd)
{
	sockets[count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
}

/* The last takes the place of one that ends. */
static void drop(nfds_t i)
{
	model_close(sockets[i].fd);
	sockets[i] = sockets[--count];
}

static void accept_all(int listener)
{
	for (int fd; (fd = model_accept(listener, SOCK_NONBLOCK)) >= 0;)
		add(fd);
}

static void echo(nfds_t i)
{
	enum model_want want = model_turn(sockets[i].fd);

	if (want == MODEL_END)
		drop(i);
	else
		sockets[i].events = want == MODEL_WRITE ? POLLOUT : POLLIN;
}

int main(void)
{
	int listener = model_listen(SOCK_NONBLOCK);

	sockets = calloc(model_descriptors(), sizeof(struct pollfd));
	if (!sockets)
		peer_die("no memory");
	add(listener);
	for (;;) {
		int ready = poll(sockets, count, -1);

		/* Backwards, so that the one that takes the place of a dropped one had its turn. */
		for (nfds_t i = count; ready > 0 && i-- > 0;) {
			if (!sockets[i].revents)
				continue;
			ready--;
			if (i == 0)
				accept_all(listener);
			else
				echo(i);
		}
	}
}
