/*
 * The functions of sd_notify(3) wait without end for a manager that does not
 * read: one that is stopped, or busy while many services send.  That page
 * describes the protocol for those who must not wait.
 */
#include "systemd/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

/* Of which the first can fail for a reason that is gone a moment later. */
#define TRIES 3

#define PATIENCE_MS 5000
#define PAUSE_MS 10

/* Much longer than any text of ours. */
#define TEXT_SIZE 512

/* PATIENCE_MS were in vain. */
static _Atomic bool deaf;

/* The manager's address from NOTIFY_SOCKET, "/path" or "@name".  Its size, or -errno. */
static int get_address(const char *path, struct sockaddr_un *address)
{
	size_t size = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || size >= sizeof(address->sun_path))
		return -EAFNOSUPPORT;
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(address->sun_path, path, size);
	if (path[0] == '@')
		address->sun_path[0] = '\0';
	else
		size++; /* the terminating zero */
	return (int)(offsetof(struct sockaddr_un, sun_path) + size);
}

static int send_to(const struct sockaddr_un *address, int size, const char *text, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(fd))];
	} control;
	struct iovec iov = { (char *)text, strlen(text) };
	struct msghdr message = {
		.msg_name = (struct sockaddr_un *)address,
		.msg_namelen = (socklen_t)size,
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	int r, s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s < 0)
		return -errno;
	if (fd >= 0) {
		/* All of it is sent, and an initializer may leave padding as it is. */
		memset(control.bytes, 0, sizeof(control.bytes));
		control.header = (struct cmsghdr){ CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
	}
	r = sendmsg(s, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
	close(s);
	return r;
}

/* ETOOMANYREFS: too many descriptors are under way, as the manager does not read. */
static bool can_pass(int error)
{
	return error == -EAGAIN || error == -EINTR || error == -ENOBUFS || error == -ENOMEM ||
	       error == -EMFILE || error == -ENFILE || error == -ETOOMANYREFS;
}

int notify_tell(const char *text, int fd, bool patient)
{
	int64_t end = clock_ms() + (patient && !atomic_load(&deaf) ? PATIENCE_MS : 0);
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address;
	int r = 0, size = path ? get_address(path, &address) : 0;

	if (size <= 0)
		return size;
	for (int tries = 1;; tries++) {
		r = send_to(&address, size, text, fd);
		if (r == 0 || (tries >= TRIES && (!can_pass(r) || clock_ms() >= end)))
			break;
		if (tries >= TRIES)
			(void)poll(NULL, 0, PAUSE_MS);
	}
	if (r == 0 || patient)
		atomic_store(&deaf, can_pass(r));
	return can_pass(r) ? -ETIMEDOUT : r;
}

int notify_tellf(const char *fmt, ...)
{
	char text[TEXT_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return notify_tell(text, -1, false);
}

/* The manager closes the descriptor of a barrier when it comes to it. */
void notify_barrier(void)
{
	struct pollfd p = { 0 };
	int r, ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	r = notify_tell("BARRIER=1", ends[1], true);
	close(ends[1]);
	p.fd = ends[0];
	if (r == 0)
		(void)poll(&p, 1, PATIENCE_MS);
	close(ends[0]);
}
