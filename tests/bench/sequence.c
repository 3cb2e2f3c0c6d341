/* SPDX-License-Identifier: MIT */
/*
 * sequence: connections one after the other, as a reference for
 * connect-echo-close.
 *
 *     sequence [WORKERS]
 *
 * Accepts, echoes until the client ends, closes, all of it blocking: no wait
 * for events, no state.  A client that stays keeps all others waiting.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "peers/peer.h"

static char buffer[PEER_BUFFER];

int main(int argc, char *argv[])
{
	int listener = peer_listen(argc, argv, 0);

	for (;;) {
		int fd = accept4(listener, NULL, NULL, 0);
		ssize_t n;

		if (fd < 0)
			continue;
		while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0)
			if (send(fd, buffer, (size_t)n, MSG_NOSIGNAL) != n)
				break;
		close(fd);
	}
}
