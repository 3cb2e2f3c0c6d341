/* SPDX-License-Identifier: MIT */
/*
 * links: the connections of one loader, and what they do.
 *
 * Only the loader's thread calls these; what is atomic or a counter may be
 * read by main at any time.
 */
#ifndef ECHOC_LINKS_H
#define ECHOC_LINKS_H

#include "base/poller.h"
#include "echoc/options.h"
#include "echoc/stream.h"
#include "echoc/target.h"

enum phase {
	PHASE_CONNECT, /* until every connection has been made or has failed */
	PHASE_TALK,
	PHASE_END,  /* no new messages; wait for those on their way, then FIN */
	PHASE_QUIT, /* at once */
};

/* What all loaders share; main writes, they read. */
struct plan {
	const struct options *options;
	const struct target *target;
	_Atomic int phase;
	_Atomic int64_t start; /* ns, of PHASE_TALK; set before the phase */
	_Atomic int64_t stop;  /* ns: PHASE_END; what is due later is not sent */
	int64_t connect_start; /* ns */
	int done_fd;	       /* eventfd: 1 is added when a loader has tried all, and at its end */
};

enum link_state { NEW, CONNECTING, TALKING, ENDING, OVER };

struct link {
	int fd;
	enum link_state state;
	unsigned address;   /* of the target's, that it tries */
	bool tried;	    /* its first connect has come to an end */
	unsigned made;	    /* connections before this one (--churn) */
	uint64_t due, sent; /* messages; due only with a rate */
	int64_t began;	    /* ns: the connect, or the end */
	struct stream stream;
};

struct links {
	struct plan *plan;
	unsigned number;      /* of the loader */
	struct poller poller; /* woken when the phase has changed */
	struct tally tally;
	_Atomic unsigned open;	/* connections now */
	_Atomic bool has_tried; /* every connection was made or has failed */
	_Atomic int error;	/* errno of the last connect that failed */

	/* the thread's alone */
	struct stream_context context;
	struct link *at;
	unsigned n, n_connecting, n_tried, n_over;
	struct link **by_fd; /* the link of a descriptor */
	size_t n_by_fd;
	uint64_t left; /* messages that may still be planned or sent */
	int phase;     /* the plan's, as it was before `now` was taken */
	int64_t now;
	uint64_t random;
};

/* 0 or -errno; links_deinit() is to be called in either case. */
int links_init(struct links *l, struct plan *plan, unsigned number);

/* Closes what is open. */
void links_deinit(struct links *l);

/* Begins to connect a new link. */
void links_connect(struct links *l, struct link *k);

/* Follows an event of a descriptor. */
void links_serve(struct links *l, int fd);

/* When the loader's message m is due, with a rate; ns. */
int64_t links_time(const struct links *l, uint64_t m);

/* The time of a link's next message has come. */
void links_give(struct links *l, struct link *k);

/* Looks after what no event tells of; end is when PHASE_END began, 0 before. */
void links_expire(struct links *l, struct link *k, int64_t end);

/* The end has come before the answers: what is on its way is lost. */
void links_abandon(struct links *l);

#endif
