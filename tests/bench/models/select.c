/* SPDX-License-Identifier: MIT */
/*
 * select: two sets of bits say which sockets to wait for.
 *
 * Each call copies the sets in and out, the kernel asks every socket in them
 * anew, and then this program looks through all bits: the work grows with the
 * largest descriptor, however few sockets are ready.
 *
 * A set has FD_SETSIZE bits, 1,024.  FD_SET() with a larger descriptor writes
 * beyond it, so such a connection is refused.
 */
#include <sys/select.h>

#include "model.h"

static fd_set reading, writing;
static int highest;

/* Puts a socket where what it wants is waited for. */
static void watch(int fd, enum model_want want)
{
	FD_CLR(fd, &reading);
	FD_CLR(fd, &writing);
	if (want == MODEL_END)
		model_close(fd);
	else if (want == MODEL_WRITE)
		FD_SET(fd, &writing);
	else
		FD_SET(fd, &reading);
}

static void accept_all(int listener)
{
	for (int fd; (fd = model_accept(listener, SOCK_NONBLOCK)) >= 0;) {
		if (fd >= FD_SETSIZE) {
			model_complain("select cannot watch descriptors from FD_SETSIZE (1024)");
			model_close(fd);
			continue;
		}
		if (fd > highest)
			highest = fd;
		watch(fd, MODEL_READ);
	}
}

int main(void)
{
	int listener = model_listen(SOCK_NONBLOCK);

	highest = listener;
	FD_SET(listener, &reading);
	for (;;) {
		fd_set readable = reading, writable = writing;
		int ready = select(highest + 1, &readable, &writable, NULL, NULL);

		for (int fd = 0; ready > 0; fd++) {
			if (!FD_ISSET(fd, &readable) && !FD_ISSET(fd, &writable))
				continue;
			ready--;
			if (fd == listener)
				accept_all(listener);
			else
				watch(fd, model_turn(fd));
		}
	}
}
