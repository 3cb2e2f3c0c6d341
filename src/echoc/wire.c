/* SPDX-License-Identifier: MIT */
#include "echoc/wire.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "echoc/options.h"
#include "echoc/target.h"

void wire_init(struct wire *w, int fd, bool verify)
{
	*w = (struct wire){ .fd = fd, .verify = verify };
}

void wire_deinit(struct wire *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	ring_deinit(&w->in_flight);
}

size_t wire_room(const struct wire *w)
{
	return w->verify ? ring_room(&w->in_flight) : SIZE_MAX;
}

void wire_end(struct wire *w, enum wire_end end, int error)
{
	if (w->end != WIRE_OPEN)
		return;
	w->end = end;
	w->error = error;
}

void wire_half_close(struct wire *w)
{
	(void)shutdown(w->fd, SHUT_WR); /* if it fails, recv(2) reports the error */
	w->half_closed = true;
}

size_t wire_send(struct wire *w, const void *data, size_t n)
{
	ssize_t sent = send(w->fd, data, n, MSG_NOSIGNAL);

	if (sent < 0) {
		if (errno != EAGAIN && errno != EINTR) {
			if (!w->error)
				w->error = errno;
			wire_half_close(w);
		}
		return 0;
	}
	w->sent += (uint64_t)sent;
	if (w->verify && ring_put(&w->in_flight, data, (size_t)sent) < 0)
		wire_end(w, WIRE_FAILED, ENOMEM);
	return (size_t)sent;
}

static void compare(struct wire *w, const unsigned char *data, size_t n)
{
	size_t same = ring_match(&w->in_flight, data, n);

	if (same == n)
		return;
	w->differs_at = w->received + same;
	w->expected = ring_first(&w->in_flight);
	w->found = data[same];
	wire_end(w, WIRE_DIFFERS, 0);
}

/* EPIPE is what is left of a reset when the FIN came before. */
static void end_with_error(struct wire *w, int error)
{
	wire_end(w, error == EPIPE ? WIRE_CLOSED : WIRE_BROKEN, error);
}

size_t wire_receive(struct wire *w, void *buffer, size_t size)
{
	ssize_t n = recv(w->fd, buffer, size, 0);

	if (n > 0) {
		if (w->verify)
			compare(w, buffer, (size_t)n);
		w->received += (uint64_t)n;
		return (size_t)n;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (w->error) /* of a send before; this is only its consequence */
		end_with_error(w, w->error);
	else if (n < 0)
		end_with_error(w, errno);
	else
		wire_end(w, w->half_closed ? WIRE_FINISHED : WIRE_CLOSED, 0);
	return 0;
}

int wire_status(const struct wire *w)
{
	if (w->end == WIRE_FAILED)
		return EXIT_OTHER;
	return w->end == WIRE_FINISHED && w->sent == w->received ? EXIT_ALL_BACK :
								   EXIT_NOT_ALL_BACK;
}

static const char *cause(const struct wire *w)
{
	switch (w->end) {
	case WIRE_CLOSED:
		return "the server has closed the connection before the end of input";
	case WIRE_SILENT:
		return "silence after the end of input";
	case WIRE_STOPPED:
		return "interrupted";
	case WIRE_BROKEN:
	case WIRE_FAILED:
		return target_error(w->error);
	default:
		return w->received < w->sent ? "too little came back" : "too much came back";
	}
}

char *wire_text(const struct wire *w, char buffer[static WIRE_TEXT])
{
	const char *guess = w->differs_at == 0 ? "; is it an echo service?" : "";

	if (w->end == WIRE_DIFFERS && w->expected < 0)
		snprintf(buffer, WIRE_TEXT,
			 "at offset %" PRIu64 ": expected nothing, found 0x%02x%s", w->differs_at,
			 (unsigned)w->found, guess);
	else if (w->end == WIRE_DIFFERS)
		snprintf(buffer, WIRE_TEXT,
			 "at offset %" PRIu64 ": expected 0x%02x, found 0x%02x%s", w->differs_at,
			 (unsigned)w->expected, (unsigned)w->found, guess);
	else
		snprintf(buffer, WIRE_TEXT, "%s: sent %" PRIu64 " bytes, %" PRIu64 " came back",
			 cause(w), w->sent, w->received);
	return buffer;
}
