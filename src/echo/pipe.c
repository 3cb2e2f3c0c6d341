/* SPDX-License-Identifier: MIT */
#include "echo/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* What is asked for; the kernel may allow less, see pipe(7). */
#define ROOM (1024 * 1024)

void pipe_init(struct pipe *p)
{
	int ends[2], room;

	*p = (struct pipe){ 0 };
	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0)
		return;
	(void)fcntl(ends[1], F_SETPIPE_SZ, ROOM); /* without it, it is small */
	room = fcntl(ends[1], F_GETPIPE_SZ);
	*p = (struct pipe){ .in = ends[1], .out = ends[0], .room = room > 0 ? (size_t)room : 0 };
	if (p->room >= PIPE_LEAST)
		return;
	p->room = 0; /* beyond a user's share of pages a pipe has one or two, see pipe(7) */
	close(ends[0]);
	close(ends[1]);
}

void pipe_deinit(struct pipe *p)
{
	if (p->room > 0) {
		close(p->in);
		close(p->out);
	}
	p->room = 0;
}

/* Other errors are those of the socket. */
static bool is_refusal(int error)
{
	return error == EPERM || error == ENOSYS || error == EINVAL || error == EOPNOTSUPP;
}

static ssize_t move(int from, int to, size_t size)
{
	return splice(from, NULL, to, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

/* Says once, whichever worker found out first, that streams cost more than they could. */
static void refuse(struct pipe *p, int error)
{
	static atomic_flag told = ATOMIC_FLAG_INIT;

	p->refused = true;
	if (!atomic_flag_test_and_set(&told))
		log_warning("splice(2) is refused: %s; streams are copied from now on",
			    strerrordesc_np(error));
}

ssize_t pipe_fill(struct pipe *p, int fd)
{
	ssize_t n = move(fd, p->in, p->room);

	if (n >= 0 || !is_refusal(errno))
		return n;
	refuse(p, errno);
	pipe_deinit(p);
	return 0;
}

ssize_t pipe_send(struct pipe *p, int fd, size_t size)
{
	ssize_t n = move(p->out, fd, size);

	if (n < 0 && is_refusal(errno))
		refuse(p, errno);
	return n;
}

int pipe_take(struct pipe *p, unsigned char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = read(p->out, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) { /* they are there: no other connection shall get them */
			pipe_deinit(p);
			return -EIO;
		}
		data += n;
		size -= (size_t)n;
	}
	return 0;
}
