/* SPDX-License-Identifier: MIT */
/*
 * sd_notify(3) waits without end for a manager that does not read: one that is
 * stopped, or busy while many services send.  So this is the protocol itself,
 * which that page documents, with messages that need not wait.
 */
#include "systemd/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"

/* How often any message is tried at once. */
#define TRIES 3

/* How long a patient message waits then, and how long between two tries. */
#define PATIENCE_MS 5000
#define PAUSE_MS 10

/* Between two tries of notify_retry(). */
#define RETRY_MS 100

/* How much longer a stop may take than it is said to, for threads to end and the log to be written.
 */
#define GRACE_MS 5000

/* A patient message has waited in vain. */
static _Atomic bool unresponsive;

/* What is to be sent, as assignments and the status, and has not been yet. */
static char state[128], status[256];
static bool unsent;

/* The manager's address from NOTIFY_SOCKET, "/path" or "@name".  0 or -errno. */
static int get_address(const char *path, struct sockaddr_un *address, socklen_t *size)
{
	size_t length = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || length > sizeof(address->sun_path))
		return -EAFNOSUPPORT;
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(address->sun_path, path, length); /* the size ends it, see unix(7) */
	if (path[0] == '@')
		address->sun_path[0] = '\0';
	*size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	return 0;
}

static int try_to_send(const struct msghdr *message)
{
	int r, s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s < 0)
		return -errno;
	r = sendmsg(s, message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
	close(s);
	return r;
}

/* ETOOMANYREFS: too many descriptors are on their way, as the manager does not read. */
static bool can_pass(int error)
{
	return error == -EAGAIN || error == -EINTR || error == -ENOBUFS || error == -ENOMEM ||
	       error == -EMFILE || error == -ENFILE || error == -ETOOMANYREFS;
}

/*
 * Any error is tried again at once: a removal that is not sent leaves a state in the
 * store which the process after the next would take for that of its own sockets.
 */
static int send_until(const struct msghdr *message, int64_t end)
{
	int r = 0;

	for (int tries = 1; (r = try_to_send(message)) < 0; tries++) {
		if (tries < TRIES)
			continue;
		if (!can_pass(r) || clock_ms() >= end)
			break;
		(void)poll(NULL, 0, PAUSE_MS);
	}
	return r;
}

int notify_send(const char *text, int fd, bool patient)
{
	int64_t end = clock_ms() + (patient && !atomic_load(&unresponsive) ? PATIENCE_MS : 0);
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(fd))];
	} control;
	struct iovec iov = { (char *)text, strlen(text) };
	struct sockaddr_un address;
	struct msghdr message = { .msg_name = &address, .msg_iov = &iov, .msg_iovlen = 1 };
	const char *path = getenv("NOTIFY_SOCKET");
	int r = path ? get_address(path, &address, &message.msg_namelen) : 0;

	if (!path || r < 0)
		return r;
	memset(&control, 0, sizeof(control)); /* an initializer may leave padding as it is */
	control.header = (struct cmsghdr){ CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	message.msg_control = fd < 0 ? NULL : &control;
	message.msg_controllen = fd < 0 ? 0 : sizeof(control);
	r = send_until(&message, end);
	if (r == 0 || patient)
		atomic_store(&unresponsive, can_pass(r));
	return can_pass(r) ? -ETIMEDOUT : r;
}

/* The manager closes the descriptor of a barrier when it comes to it. */
void notify_barrier(void)
{
	struct pollfd p = { 0 };
	int r, ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	r = notify_send("BARRIER=1", ends[1], true);
	close(ends[1]);
	p.fd = ends[0];
	if (r == 0)
		(void)poll(&p, 1, PATIENCE_MS);
	close(ends[0]);
}

bool notify_is_managed(void)
{
	return getenv("NOTIFY_SOCKET") != NULL;
}

void notify_retry(void)
{
	char text[sizeof(state) + sizeof(status) + 16];

	if (!unsent)
		return;
	snprintf(text, sizeof(text), "%sSTATUS=%s", state, status);
	unsent = notify_send(text, -1, false) == -ETIMEDOUT;
	if (!unsent)
		state[0] = '\0';
}

int64_t notify_due(void)
{
	return unsent ? clock_ms() + RETRY_MS : INT64_MAX;
}

static void send_state(void)
{
	unsent = true;
	notify_retry();
}

void notify_status(const char *new_status)
{
	snprintf(status, sizeof(status), "%s", new_status);
	send_state();
}

void notify_ready(const char *new_status)
{
	snprintf(state, sizeof(state), "READY=1\n");
	notify_status(new_status);
}

void notify_reloading(void)
{
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n",
		 clock_ns() / 1000);
	send_state();
}

void notify_stopping(int64_t timeout_ms)
{
	snprintf(state, sizeof(state), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRId64 "\n",
		 (timeout_ms + GRACE_MS) * 1000);
	notify_status("Stopping");
}

void notify_failed(int error)
{
	snprintf(state, sizeof(state), "ERRNO=%d\n", -error);
	snprintf(status, sizeof(status), "Cannot start: %s", strerrordesc_np(-error));
	send_state();
}

int64_t notify_watchdog_ms(void)
{
	uint64_t usec = 0;

	return sd_watchdog_enabled(0, &usec) > 0 ? (int64_t)(usec / 1000) : 0;
}
