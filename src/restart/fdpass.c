/* SPDX-License-Identifier: MIT */
#include "restart/fdpass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAX 253 /* the kernel's SCM_MAX_FD, see unix(7) */

/* A message; the union aligns its control data, see cmsg(3). */
struct message {
	struct msghdr header;
	struct iovec iov;
	uint32_t number;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MESSAGE_MAX * sizeof(int))];
	} control;
};

static void message_init(struct message *m, size_t n)
{
	memset(m, 0, sizeof(*m));
	m->iov = (struct iovec){ &m->number, sizeof(m->number) };
	m->header.msg_iov = &m->iov;
	m->header.msg_iovlen = 1;
	m->header.msg_control = m->control.bytes;
	m->header.msg_controllen = CMSG_SPACE(n * sizeof(int));
}

static int send_some(int to, const int *fds, size_t n, uint32_t number)
{
	struct message m;
	struct cmsghdr *c = &m.control.align;

	message_init(&m, n);
	m.number = number;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	return sendmsg(to, &m.header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int fdpass_pack(const int *fds, size_t n, uint32_t first, size_t *packed)
{
	int pair[2], r = 0;

	*packed = 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	while (*packed < n) {
		size_t some = n - *packed < MESSAGE_MAX ? n - *packed : MESSAGE_MAX;

		r = send_some(pair[0], fds + *packed, some, first + (uint32_t)*packed);
		if (r < 0)
			break;
		*packed += some;
	}
	close(pair[0]); /* the queue of the other end keeps what was sent */
	if (*packed > 0 || r == 0)
		return pair[1];
	close(pair[1]);
	return r;
}

static void take_out(struct message *m, void (*taken)(void *, uint32_t, int), void *context)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m->header); c; c = CMSG_NXTHDR(&m->header, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			taken(context, m->number + (uint32_t)i, fd);
		}
	}
}

void fdpass_unpack(int carrier, void (*taken)(void *context, uint32_t number, int fd),
		   void *context)
{
	for (;;) {
		struct message m;
		ssize_t n;

		message_init(&m, MESSAGE_MAX);
		m.number = UINT32_MAX; /* of a message that is too short */
		n = recvmsg(carrier, &m.header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || (n == 0 && m.header.msg_controllen == 0))
			return; /* empty, or not a carrier at all */
		take_out(&m, taken, context);
	}
}
