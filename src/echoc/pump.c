/* SPDX-License-Identifier: MIT */
/*
 * Two buffers, one for each direction, and one thread.  A buffer is filled
 * when it is empty, and emptied when it is not; an end that cannot take bytes
 * stops only the end that supplies them:
 *
 *   stdin -> up -> socket -> the server -> socket -> down -> stdout
 *
 * While the reader of stdout does not read, `down` stays full, so the socket is not
 * read, so the server stalls, so `up` stays full, so stdin is not read.
 *
 * Standard input and output may be shared with other processes, so they must stay
 * blocking: a flag would be theirs as well.  So they are touched only when poll(2) says
 * that they are ready, read(2) then returns what is there, and write(2) gets
 * no more than what a pipe that is ready surely takes without blocking.
 *
 * poll(2) reports errors even if no event is asked for, so a descriptor from which
 * nothing is wanted is left out: otherwise a pipe without a writer would keep
 * the loop busy.  Every event that is asked for is progress, which is why a
 * timeout of poll(2) is silence.
 */
#include "echoc/pump.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "echoc/options.h"
#include "echoc/wire.h"

struct buffer {
	size_t start, end;
	unsigned char data[1 << 16];
};

struct pump {
	struct wire *wire;
	bool input_ended;
	size_t chunk; /* bytes of a write to standard output */
	struct buffer up, down;
};

static bool is_empty(const struct buffer *b)
{
	return b->start == b->end;
}

static void fill(struct buffer *b, size_t n)
{
	b->start = 0;
	b->end = n;
}

static int complain(const char *what)
{
	fprintf(stderr, "echoc: %s: %s\n", what, strerror(errno));
	return EXIT_OTHER;
}

static bool is_transient(int error)
{
	return error == EINTR || error == EAGAIN; /* others may have made it non-blocking */
}

static int read_input(struct pump *p)
{
	size_t room = wire_room(p->wire);
	size_t size = room < sizeof(p->up.data) ? room : sizeof(p->up.data);
	ssize_t n = read(STDIN_FILENO, p->up.data, size);

	if (n < 0)
		return is_transient(errno) ? 0 : complain("standard input");
	p->input_ended = n == 0;
	fill(&p->up, (size_t)n);
	return 0;
}

static int write_output(struct pump *p)
{
	size_t size = p->down.end - p->down.start;
	ssize_t n = write(STDOUT_FILENO, p->down.data + p->down.start,
			  size < p->chunk ? size : p->chunk);

	if (n < 0)
		return is_transient(errno) ? 0 : complain("standard output");
	p->down.start += (size_t)n;
	return 0;
}

static void send_up(struct pump *p)
{
	p->up.start += wire_send(p->wire, p->up.data + p->up.start, p->up.end - p->up.start);
	if (p->wire->half_closed) { /* an error: what is left will not be sent */
		p->up.start = p->up.end;
		p->input_ended = true;
	}
}

/* The descriptor if something is wanted from it. */
static struct pollfd want(int fd, int events)
{
	return (struct pollfd){ .fd = events ? fd : -1, .events = (short)events };
}

enum { INPUT, OUTPUT, WIRE, N };

/* What is wanted from each descriptor now. */
static void choose(const struct pump *p, struct pollfd fds[N])
{
	const struct wire *w = p->wire;
	bool reads = !w->end && !p->input_ended && is_empty(&p->up) && wire_room(w) > 0;
	int up = is_empty(&p->up) ? 0 : POLLOUT;
	int down = is_empty(&p->down) ? POLLIN : 0;

	fds[INPUT] = want(STDIN_FILENO, reads ? POLLIN : 0);
	fds[OUTPUT] = want(STDOUT_FILENO, is_empty(&p->down) ? 0 : POLLOUT);
	fds[WIRE] = want(w->fd, w->end ? 0 : up | down);
}

/* An error wakes both directions. */
static void serve_wire(struct pump *p, const struct pollfd *fd)
{
	if (fd->events & POLLOUT && fd->revents & ~POLLIN)
		send_up(p);
	if (p->input_ended && is_empty(&p->up) && !p->wire->half_closed)
		wire_half_close(p->wire);
	if (fd->events & POLLIN && fd->revents & ~POLLOUT)
		fill(&p->down, wire_receive(p->wire, p->down.data, sizeof(p->down.data)));
}

/* One wait, and what became ready.  Returns 0 or an exit status. */
static int turn(struct pump *p, int timeout_ms)
{
	bool patient = !p->input_ended || !is_empty(&p->down);
	struct pollfd fds[N];
	int n, r = 0;

	choose(p, fds);
	n = poll(fds, N, patient ? -1 : timeout_ms);
	if (n < 0)
		return errno == EINTR ? 0 : complain("poll");
	if (n == 0)
		wire_end(p->wire, WIRE_SILENT, 0);
	if (fds[INPUT].revents)
		r = read_input(p);
	if (r == 0 && fds[OUTPUT].revents)
		r = write_output(p);
	serve_wire(p, &fds[WIRE]);
	return r;
}

int pump_run(struct wire *wire, int timeout_ms)
{
	struct pump p = { .wire = wire };
	struct stat st;
	int r = 0;

	/* A file takes anything at once; a pipe surely no more than PIPE_BUF. */
	p.chunk = fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) ? sizeof(p.down.data) :
									  PIPE_BUF;
	while (r == 0 && (wire->end == WIRE_OPEN || !is_empty(&p.down)))
		r = turn(&p, timeout_ms);
	if (r == 0 &&
	    close(STDOUT_FILENO) < 0) /* some file systems say only now that they are full */
		r = complain("standard output");
	return r;
}
