/* SPDX-License-Identifier: MIT */
/*
 * stream: one connection's messages, out and back.
 *
 * Messages are parts of one endless payload, so the other side may cut and
 * join them as it likes.  Those that are on their way stand in a ring, in the
 * order in which they must come back.  One thread.
 */
#ifndef ECHOC_STREAM_H
#define ECHOC_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "echoc/tally.h"

/* Receive and send in pieces of at most this. */
#define STREAM_CHUNK (256 * 1024)

struct message {
	uint64_t end; /* position behind its last byte */
	size_t size;
	int64_t planned; /* ns: when it should be sent */
	bool lost;	 /* counted as such; what may still come does not change it */
};

struct stream {
	uint64_t number;  /* for messages to people */
	uint64_t key;	  /* see payload.h */
	uint64_t goal;	  /* positions: of what is to be sent, */
	uint64_t written; /* was sent, */
	uint64_t read;	  /* and has come back */
	bool wrong;	  /* the message that is coming back has a wrong byte */
	struct message *ring;
	unsigned size, first, count;
};

/* Who is told of each message that has come back; may be NULL. */
typedef void stream_observer(void *context, size_t size, int64_t latency, bool verified);

struct stream_context {
	struct tally *tally;
	unsigned char *buffer; /* of STREAM_CHUNK bytes */
	stream_observer *observer;
	void *observer_context;
};

enum stream_outcome {
	STREAM_WAIT = 1, /* until the socket is ready again */
	STREAM_END,	 /* the other side has sent FIN */
};

/* Room for so many messages at once.  0 or -ENOMEM. */
int stream_init(struct stream *s, unsigned messages);
void stream_deinit(struct stream *s);

/* Begins anew, on a new connection, as the stream of that number. */
void stream_begin(struct stream *s, uint64_t seed, uint64_t number);

/* Another message can be added. */
bool stream_has_room(const struct stream *s);

/* Adds a message; there is room. */
void stream_add(struct stream *s, size_t size, int64_t planned, struct tally *tally);

/* Sends what is to be sent.  STREAM_WAIT or -errno. */
int stream_send(struct stream *s, int fd, const struct stream_context *context);

/*
 * Receives and verifies.  STREAM_WAIT, STREAM_END or -errno; -EBADMSG after
 * bytes that nobody asked for.
 */
int stream_receive(struct stream *s, int fd, const struct stream_context *context);

/* Counts messages planned before that time as lost. */
void stream_expire(struct stream *s, int64_t before, struct tally *tally);

/* No message is on its way but lost ones. */
bool stream_is_quiet(const struct stream *s);

/* The planned time of the oldest message that is on its way, lost or not, or INT64_MAX. */
int64_t stream_waits_since(const struct stream *s);

/* The planned time of the oldest message that is on its way and not lost, or INT64_MAX. */
int64_t stream_oldest(const struct stream *s);

#endif
