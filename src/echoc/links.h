/* SPDX-License-Identifier: MIT */
/*
 * links: the connections of one loader; what one of them does is in link.h.
 *
 * Only the loader's thread calls these; what is atomic or a counter may be
 * read by main at any time.
 */
#ifndef ECHOC_LINKS_H
#define ECHOC_LINKS_H

#include "base/poller.h"
#include "echoc/plan.h"
#include "echoc/stream.h"

enum link_state { NEW, CONNECTING, TALKING, ENDING, AWAY, OVER };

struct link {
	int fd;
	enum link_state state;
	unsigned first, tries; /* addresses of the target: where it began, how many have failed */
	bool tried;	       /* its first connect has come to an end */
	unsigned made;	       /* connections before this one (--churn, --reconnect) */
	uint64_t due,
		taken;	 /* messages, with a rate: whose time has come, and given to the stream */
	int64_t began;	 /* ns: the connect, the end, or the next try if it is AWAY */
	int64_t lost_at; /* ns: since when it is not served (--reconnect); or 0 */
	struct stream stream;
};

struct links {
	struct plan *plan;
	unsigned number;      /* of the loader */
	struct poller poller; /* woken when the phase has changed */
	struct tally tally;
	_Atomic unsigned open;	/* connections now */
	_Atomic bool has_tried; /* every connection was made or has failed */
	_Atomic int error;	/* the first errno of a connection, or 0 */

	/* the thread's alone */
	struct stream_context context;
	struct link *at;
	unsigned n, n_connecting, n_tried, n_away, n_over;
	struct link **by_fd; /* the link of a descriptor */
	size_t n_by_fd;
	unsigned window; /* no more connects at once, see loader.c */
	uint64_t left;	 /* messages that may still be planned or sent */
	int phase;	 /* the plan's, as it was before `now` was taken */
	int64_t now;	 /* ns */
	int64_t settled; /* ns: what came until then has been received */
	int64_t end;	 /* ns: when PHASE_END began; or 0 */
	uint64_t random;
};

/* 0 or -errno; links_deinit() is to be called in either case. */
int links_init(struct links *l, struct plan *plan, unsigned number);

/* Closes what is open. */
void links_deinit(struct links *l);

/* Has the link's events come to it, see loader.c.  0 or -errno. */
int links_watch(struct links *l, struct link *k);

/* When a link's message, counted from 0, is due by the rate; ns. */
int64_t links_time(const struct links *l, const struct link *k, uint64_t message);

#endif
