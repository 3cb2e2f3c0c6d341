/* SPDX-License-Identifier: MIT */
#include "echoc/links.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "echoc/payload.h"

int links_init(struct links *l, struct plan *plan, unsigned number)
{
	const struct options *o = plan->options;
	int r = 0;

	l->plan = plan;
	l->number = number;
	l->n = (unsigned)plan_share(plan, o->connections, number);
	l->left = o->messages ? plan_share(plan, o->messages, number) : UINT64_MAX;
	l->random = payload_key(o->seed ^ 0x5bd1e995, number);
	l->context.tally = &l->tally;
	l->context.buffer = malloc(STREAM_CHUNK);
	l->at = calloc(l->n, sizeof(*l->at));
	if (!l->context.buffer || !l->at)
		r = -ENOMEM;
	for (unsigned i = 0; i < l->n && r == 0; i++)
		r = stream_init(&l->at[i].stream, o->churn ? 1 : o->pipeline);
	return r < 0 ? r : poller_init(&l->poller, "loader", false);
}

void links_deinit(struct links *l)
{
	for (unsigned i = 0; l->at && i < l->n; i++) {
		struct link *k = &l->at[i];

		if (k->state == CONNECTING || k->state == TALKING || k->state == ENDING)
			close(k->fd);
		stream_deinit(&k->stream);
	}
	free(l->at);
	free(l->by_fd);
	free(l->context.buffer);
	if (l->poller.name)
		poller_deinit(&l->poller);
}

int links_watch(struct links *l, struct link *k)
{
	size_t n = (size_t)k->fd + 1;
	struct link **by_fd;

	if (n > l->n_by_fd) {
		by_fd = reallocarray(l->by_fd, 2 * n, sizeof(struct link *));
		if (!by_fd)
			return -ENOMEM;
		l->by_fd = by_fd;
		l->n_by_fd = 2 * n;
	}
	l->by_fd[k->fd] = k;
	return poller_add(&l->poller, k->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

int64_t links_time(const struct links *l, const struct link *k, uint64_t message)
{
	return plan_time(l->plan, l->number, (uint64_t)(k - l->at) + message * l->n);
}
