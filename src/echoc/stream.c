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
	s->goal = s->written = s->read = s->counted = 0;
	s->heard = clock_ns();
	s->wrong = false;
	s->first = s->count = s->written_out = 0;
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

void stream_add(struct stream *s, size_t size, int64_t planned, bool counts)
{
	s->goal += size;
	if (!counts)
		s->counted = s->goal;
	*message_at(s, s->count) = (struct message){
		.end = s->goal, .size = size, .planned = planned, .counts = counts
	};
	s->count++;
}

/* How many of the n bytes from a position on are counted. */
static uint64_t countable(const struct stream *s, uint64_t position, uint64_t n)
{
	uint64_t left_out = s->counted > position ? s->counted - position : 0;

	return n > left_out ? n - left_out : 0;
}

/* The kernel has taken n bytes more. */
static void note_written(struct stream *s, uint64_t n, struct tally *tally)
{
	int64_t now = clock_ns();

	counter_add(&tally->bytes_sent, countable(s, s->written, n));
	s->written += n;
	while (s->written_out < s->count) {
		struct message *m = message_at(s, s->written_out);

		if (m->end - m->size >= s->written)
			break;
		if (m->sent == 0)
			counter_add(&tally->messages_sent, m->counts);
		m->sent = now;
		if (m->end > s->written)
			break;
		s->written_out++;
	}
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
		note_written(s, (uint64_t)n, context->tally);
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
	s->written_out--;
	if (!s->wrong && !m->lost && m->counts) {
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

		counter_add(&context->tally->bytes_verified, countable(s, s->read + i, right));
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

	s->heard = now;
	if (s->read + n > s->counted)
		counter_set(&context->tally->last_answer, (uint64_t)now);
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

/* When the other side was last seen to do something with a message that was sent. */
static int64_t last_progress(const struct stream *s, const struct message *m)
{
	return m->sent > s->heard ? m->sent : s->heard;
}

unsigned stream_expire(struct stream *s, int64_t before, struct tally *tally)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->count; i++) {
		struct message *m = message_at(s, i);

		if (m->sent == 0 || last_progress(s, m) >= before)
			break;
		if (m->lost)
			continue;
		m->lost = true;
		counter_add(&tally->lost, m->counts);
		n++;
	}
	return n;
}

unsigned stream_abandon(struct stream *s, counter *sent, counter *unsent)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->count; i++) {
		const struct message *m = message_at(s, i);

		if (!m->counts || m->lost)
			continue;
		counter_add(m->sent ? sent : unsent, 1);
		n += m->sent != 0;
	}
	s->count = 0;
	return n;
}

int64_t stream_silent_since(const struct stream *s)
{
	const struct message *m = message_at(s, 0);

	return s->count && m->sent ? last_progress(s, m) : INT64_MAX;
}

int64_t stream_oldest(const struct stream *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		const struct message *m = message_at(s, i);

		if (!m->lost)
			return m->sent ? last_progress(s, m) : INT64_MAX;
	}
	return INT64_MAX;
}

bool stream_is_quiet(const struct stream *s)
{
	for (unsigned i = 0; i < s->count; i++)
		if (!message_at(s, i)->lost)
			return false;
	return true;
}
