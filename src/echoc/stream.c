/* SPDX-License-Identifier: MIT */
#include "echoc/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "echoc/payload.h"

int stream_init(struct stream *s, unsigned messages)
{
	memset(s, 0, sizeof(*s));
	s->ring = calloc(messages, sizeof(*s->ring));
	s->size = messages;
	return s->ring ? 0 : -ENOMEM;
}

void stream_deinit(struct stream *s)
{
	free(s->ring);
	s->ring = NULL;
}

void stream_begin(struct stream *s, uint64_t seed, uint64_t number)
{
	s->number = number;
	s->key = payload_key(seed, number);
	s->goal = s->written = s->read = 0;
	s->wrong = false;
	s->first = s->count = 0;
}

bool stream_has_room(const struct stream *s)
{
	return s->count < s->size;
}

static struct message *message_at(const struct stream *s, unsigned i)
{
	unsigned at = s->first + i;

	return &s->ring[at < s->size ? at : at - s->size];
}

void stream_add(struct stream *s, size_t size, int64_t planned, struct tally *tally)
{
	s->goal += size;
	*message_at(s, s->count) = (struct message){ s->goal, size, planned, false };
	s->count++;
	counter_add(&tally->messages_sent, 1);
}

int stream_send(struct stream *s, int fd, const struct stream_context *context)
{
	while (s->written < s->goal) {
		uint64_t left = s->goal - s->written;
		size_t size = left < STREAM_CHUNK ? (size_t)left : STREAM_CHUNK;
		ssize_t n;

		payload_make(s->key, s->written, context->buffer, size);
		n = send(fd, context->buffer, size, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN ? STREAM_WAIT : -errno;
		s->written += (uint64_t)n;
		counter_add(&context->tally->bytes_sent, (uint64_t)n);
	}
	return STREAM_WAIT;
}

/* The oldest message is back. */
static void complete(struct stream *s, const struct stream_context *context, int64_t now)
{
	struct message *m = message_at(s, 0);
	struct tally *tally = context->tally;

	s->first = s->first + 1 < s->size ? s->first + 1 : 0;
	s->count--;
	if (!s->wrong && !m->lost) {
		counter_add(&tally->messages_verified, 1);
		histogram_record(&tally->latency, now - m->planned);
	}
	if (context->observer)
		context->observer(context->observer_context, m->size, now - m->planned, !s->wrong);
	s->wrong = false;
}

/* Compares what has come, and goes on behind each wrong byte. */
static void compare(struct stream *s, const unsigned char *data, size_t n,
		    const struct stream_context *context)
{
	size_t i = 0;

	while (i < n) {
		size_t right = payload_check(s->key, s->read + i, data + i, n - i);

		counter_add(&context->tally->bytes_verified, right);
		i += right;
		if (i == n)
			break;
		if (!s->wrong) {
			tally_report(s->number, s->read + i, payload_byte(s->key, s->read + i),
				     data[i]);
			counter_add(&context->tally->corrupt, 1);
		}
		s->wrong = true;
		i++;
	}
	s->read += n;
}

/* Verifies n bytes, message by message.  STREAM_WAIT or -EBADMSG. */
static int verify(struct stream *s, size_t n, const struct stream_context *context)
{
	const unsigned char *data = context->buffer;
	int64_t now = clock_ns();

	while (n > 0 && s->read < s->written) {
		uint64_t asked = s->written - s->read, left = message_at(s, 0)->end - s->read;
		size_t part = left < n ? (size_t)left : n;

		if (asked < part) /* of a message that is only partly sent */
			part = (size_t)asked;
		compare(s, data, part, context);
		data += part;
		n -= part;
		if (part == left)
			complete(s, context, now);
	}
	if (n == 0)
		return STREAM_WAIT;
	tally_report(s->number, s->written, TALLY_NOTHING, *data);
	counter_add(&context->tally->corrupt, 1);
	return -EBADMSG;
}

int stream_receive(struct stream *s, int fd, const struct stream_context *context)
{
	for (;;) {
		ssize_t n = recv(fd, context->buffer, STREAM_CHUNK, 0);
		int r;

		if (n == 0)
			return STREAM_END;
		if (n < 0)
			return errno == EAGAIN ? STREAM_WAIT : -errno;
		r = verify(s, (size_t)n, context);
		if (r < 0)
			return r;
	}
}

void stream_expire(struct stream *s, int64_t before, struct tally *tally)
{
	for (unsigned i = 0; i < s->count; i++) {
		struct message *m = message_at(s, i);

		if (m->planned >= before)
			break;
		if (!m->lost)
			counter_add(&tally->lost, 1);
		m->lost = true;
	}
}

int64_t stream_waits_since(const struct stream *s)
{
	return s->count ? message_at(s, 0)->planned : INT64_MAX;
}

int64_t stream_oldest(const struct stream *s)
{
	for (unsigned i = 0; i < s->count; i++)
		if (!message_at(s, i)->lost)
			return message_at(s, i)->planned;
	return INT64_MAX;
}

bool stream_is_quiet(const struct stream *s)
{
	return stream_oldest(s) == INT64_MAX;
}
