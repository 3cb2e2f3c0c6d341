/* SPDX-License-Identifier: MIT */
/*
 * The life of a connection before it has a worker: accepted, limited, dispatched.
 *
 * Listeners are level-triggered: an accept that fails for want of descriptors
 * leaves the connection in the queue, and an edge would not come again.
 *
 * Want of descriptors or memory is a state, not an error.  accept4(2) then
 * fails for every connection in the queue, and a level-triggered wait would
 * return at once, for ever.  So the acceptor pauses for a tenth of a second and
 * tries again, while new clients wait in the queue.
 *
 * Other errors are those of one connection or of one listener.  An error of one
 * connection takes it out of the queue, so the next call has another one
 * (ECONNABORTED, and those that accept(2) calls pending on the new socket).  An
 * error of a listener stays: it was shut down (EINVAL), or a security module
 * forbids the call (EACCES, EPERM) before it looks at the queue.  Then that
 * listener is watched no more, the others are served on, and main is told.
 *
 * The log has a record about refusals and one about pauses at most once in ten
 * seconds; counters have all.
 */
#include "reactor/acceptor.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/probe.h"
#include "base/tcp.h"

/* Connections from one listener before the others have their turn. */
#define ROUND 64

#define PAUSE_MS 100

static bool contains(const struct acceptor_set *set, int fd)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->fds[i] == fd)
			return true;
	return false;
}

/*
 * Closes with a reset: unlike a FIN it cannot be taken for an echo that ended,
 * and it leaves no TIME_WAIT behind.
 */
static void refuse(struct acceptor *a, int fd, const struct address *peer, enum refusal reason)
{
	counter_increment(&a->refused[reason]); /* before the client knows */
	tcp_reset_on_close(fd, true);
	close(fd);
	refusal_log_add(&a->refusal_log, reason, peer, a->refused, clock_ms());
}

/* Gives an admitted socket to the next worker.  0 or -errno. */
static int dispatch(struct acceptor *a, int fd, struct source *source)
{
	struct connection *c = connections_at(&a->shared->connections, (uint32_t)fd);
	struct worker *w = &a->shared->workers[a->next];
	int r;

	/*
	 * Always so, for the worker released the record before it closed the
	 * descriptor; but only this load lets the compiler and the tools know.
	 */
	assert(atomic_load_explicit(&c->owner, memory_order_acquire) == 0);
	c->source = source;
	PROBE_ACCEPT(fd, w->number);
	r = worker_adopt(w, fd); /* from here on the record is the worker's */
	if (r == 0)
		a->next = (a->next + 1) % a->shared->n_workers;
	return r;
}

static void admit(struct acceptor *a, int fd, const struct address *peer)
{
	struct source *source;
	char text[ADDRESS_TEXT];
	int r;

	if ((uint32_t)fd >= a->shared->connections.size) {
		refuse(a, fd, peer, REFUSED_RESOURCES);
		return;
	}
	r = limiter_admit(&a->shared->limiter, peer, clock_ns(), &source);
	if (r > 0) {
		refuse(a, fd, peer, (enum refusal)(r - 1));
		return;
	}
	log_debug("acceptor: %s is descriptor %d, for worker/%u", address_format(peer, text), fd,
		  a->next);
	if (dispatch(a, fd, source) < 0) {
		limiter_release(&a->shared->limiter, source);
		refuse(a, fd, peer, REFUSED_RESOURCES);
	}
}

/* What accept(2) says may happen to the one connection that it took. */
static bool concerns_one_connection(int error)
{
	static const int errors[] = {
		ECONNABORTED, EINTR,	 EPROTO,       ENOPROTOOPT, ENETDOWN,
		ENETUNREACH,  EHOSTDOWN, EHOSTUNREACH, ENONET,	    ETIMEDOUT
	};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i] == error)
			return true;
	return false;
}

/* Want of something that all listeners need. */
static bool concerns_all(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/*
 * Accepts up to max connections.  Returns 0 (the queue may hold more), or
 * -EAGAIN when it is empty, or another -errno: also if all were errors, so that
 * one that does not pass cannot keep us busy.
 */
static int accept_some(struct acceptor *a, int listener, size_t max)
{
	size_t failed = 0;

	for (size_t i = 0; i < max; i++) {
		struct address peer = { .size = sizeof(peer.v6) };
		int fd = accept4(listener, &peer.any, &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			admit(a, fd, &peer);
		else if (!concerns_one_connection(errno) || ++failed == max)
			return -errno;
	}
	return 0;
}

static void give_up(struct acceptor *a, int listener, int error)
{
	poller_remove(&a->loop.poller, listener);
	atomic_store(&a->failure, (uint64_t)(uint32_t)listener << 32 | (uint32_t)error);
	(void)eventfd_write(a->shared->failed_fd, 1);
}

int acceptor_failure(struct acceptor *a, int *fd)
{
	eventfd_t ignored;
	uint64_t failure;

	(void)eventfd_read(a->shared->failed_fd,
			   &ignored); /* before: what fails now is told again */
	failure = atomic_exchange(&a->failure, 0);
	*fd = (int)(failure >> 32);
	return (int)(uint32_t)failure;
}

static void pause_accepting(struct acceptor *a, int error)
{
	struct pollfd p = { .fd = a->loop.poller.wake_fd, .events = POLLIN };
	int64_t now = clock_ms();

	counter_increment(&a->pauses);
	if (now >= a->next_pause_line) {
		a->next_pause_line = now + REFUSAL_LOG_INTERVAL_MS;
		log_event(EVENT_PAUSED,
			  FIELDS(FIELD_NUMBER("ECHOD_PAUSES", counter_get(&a->pauses)),
				 FIELD_ERRNO(error)),
			  "cannot accept: %s; new connections wait, trying again every %d ms",
			  strerrordesc_np(error), PAUSE_MS);
	}
	poll(&p, 1, PAUSE_MS);
}

/* The queue is as long as the backlog at most; what comes beyond that came later. */
static void retire(struct acceptor *a, int listener)
{
	int r = accept_some(a, listener, UINT16_MAX);

	if (r < 0 && r != -EAGAIN && r != -EINVAL) /* it was shut down, and has no queue */
		log_warning("cannot accept from a removed listener: %s", strerrordesc_np(-r));
	poller_remove(&a->loop.poller, listener); /* fdstore.h may hold it, too */
	close(listener);
}

/* Watches the whole set.  Returns what was in the way, perhaps something before: try again. */
static int watch_all(struct acceptor *a, int trouble)
{
	a->unwatched = false;
	for (size_t i = 0; i < a->set.n; i++) {
		int r = poller_add(&a->loop.poller, a->set.fds[i], EPOLLIN);

		if (r < 0 && r != -EEXIST) {
			a->unwatched = true;
			trouble = -r;
		}
	}
	return trouble;
}

static void take_set(struct acceptor *a)
{
	struct acceptor_set old = a->set;

	a->set = a->wanted;
	a->pending = false;
	loop_wake_main(&a->loop); /* it may wait for this */
	a->unwatched = true;
	for (size_t i = 0; i < old.n; i++)
		if (!contains(&a->set, old.fds[i]))
			retire(a, old.fds[i]);
}

/* Follows main's command.  Returns false if the thread is to end. */
static bool obey(struct acceptor *a)
{
	enum loop_command command = a->loop.command; /* before a set, which may be the last */

	if (command == FREEZE) /* a set that is pending is void: others have its listeners too */
		return false;
	if (a->pending)
		take_set(a);
	for (size_t i = 0; command == DRAIN && i < a->set.n; i++)
		retire(a, a->set.fds[i]);
	return command == RUN;
}

/* Serves one batch of events.  Returns false if the thread is to end. */
static bool serve_batch(struct acceptor *a)
{
	struct epoll_event events[CONF_LISTEN_MAX + 1];
	int64_t due = a->unwatched ? 0 : refusal_log_due(&a->refusal_log);
	int n = loop_wait(&a->loop, events, CONF_LISTEN_MAX + 1, clock_timeout(due, clock_ms()));
	bool woken = false;
	int trouble = 0;

	refusal_log_write(&a->refusal_log, a->refused, clock_ms());
	for (int i = 0; i < n; i++) {
		int r;

		if (poller_is_wake(&a->loop.poller, &events[i])) {
			woken = true; /* not yet: it may close what the batch names */
			continue;
		}
		r = accept_some(a, events[i].data.fd, ROUND);
		if (concerns_all(-r))
			trouble = -r;
		else if (r < 0 && r != -EAGAIN)
			give_up(a, events[i].data.fd, -r);
	}
	if (woken && !obey(a))
		return false;
	if (a->unwatched)
		trouble = watch_all(a, trouble);
	if (trouble)
		pause_accepting(a, trouble);
	return true;
}

static void run(void *arg)
{
	while (serve_batch(arg))
		;
}

int acceptor_init(struct acceptor *a, struct shared *shared)
{
	memset(a, 0, sizeof(*a));
	a->shared = shared;
	return loop_init(&a->loop, "acceptor", shared->main_fd, shared->trace, run, a);
}

void acceptor_listen(struct acceptor *a, const struct acceptor_set *set)
{
	assert(!a->pending); /* a listener that was only in that set would be lost */
	a->wanted = *set;
	a->pending = true;
	poller_wake(&a->loop.poller);
}
