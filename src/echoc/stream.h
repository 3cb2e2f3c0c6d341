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
	int64_t planned; /* ns: when it should be sent, */
	int64_t sent;	 /* and when the kernel has taken the last byte of it so far; 0: none yet */
	bool counts;	 /* false: it is of a warm-up, and only wrong bytes count */
	bool lost;	 /* counted as such; what may still come does not change it */
};

struct stream {
	uint64_t number;  /* for messages to people */
	uint64_t key;	  /* see payload.h */
	uint64_t goal;	  /* positions: of what is to be sent, */
	uint64_t written; /* was sent, */
	uint64_t read;	  /* and has come back */
	uint64_t counted; /* bytes before this position are of a warm-up */
	int64_t heard;	  /* ns: when the last byte came back, or the stream began */
	bool wrong;	  /* the message that is coming back has a wrong byte */
	struct message *ring;
	unsigned size, first, count;
	unsigned written_out; /* the oldest of these, which are sent as a whole */
};

/* Called for each message that has come back; may be NULL. */
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
void stream_add(struct stream *s, size_t size, int64_t planned, bool counts);

/* Sends what is to be sent.  STREAM_WAIT or -errno. */
int stream_send(struct stream *s, int fd, const struct stream_context *context);

/*
 * Receives and verifies.  STREAM_WAIT, STREAM_END or -errno; -EBADMSG after
 * bytes that were not sent.
 */
int stream_receive(struct stream *s, int fd, const struct stream_context *context);

/*
 * Counts messages as lost that were sent before that time, if nothing has come back
 * since then either: what counts is silence, and not how long a message takes.
 * Everything that came until then must have been received.  Returns how many.
 */
unsigned stream_expire(struct stream *s, int64_t before, struct tally *tally);

/*
 * The connection is over: what was sent and is not back is counted in `sent`, what was
 * not sent in `unsent`.  Returns how many were sent.
 */
unsigned stream_abandon(struct stream *s, counter *sent, counter *unsent);

/* No message is on its way or to be sent, but lost ones. */
bool stream_is_quiet(const struct stream *s);

/* Since when the other side is silent though it owes an answer, lost or not; or INT64_MAX. */
int64_t stream_silent_since(const struct stream *s);

/* The time before which stream_expire() would count the next message; or INT64_MAX. */
int64_t stream_oldest(const struct stream *s);

#endif
