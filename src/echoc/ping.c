/* SPDX-License-Identifier: MIT */
/*
 * Like ping(8), with the payload of a stream: message n is planned at
 * start + n * interval and sent then even if an earlier one is not back, so a
 * server that stops shows in every message of that time.
 *
 * The connection is TALKING, or CONNECTING to one address after the other.  If it is
 * lost, or cannot be made again, and --reconnect is given, it is AWAY for a moment
 * before it is tried again; messages that become due in that time wait for it.  An
 * outage ends with the first answer, or with its connection if nothing waited for that.
 */
#include "echoc/ping.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include "base/clock.h"
#include "echoc/figures.h"
#include "echoc/options.h"
#include "echoc/record.h"
#include "echoc/results.h"
#include "echoc/signals.h"
#include "echoc/stream.h"
#include "echoc/summary.h"
#include "echoc/target.h"

/* Messages on their way at once; more are sent when one is back or lost. */
#define RING 1024

#define SECOND_NS 1000000000
#define PAUSE_NS 20000000 /* between two tries to connect again */

struct ping {
	const struct options *options;
	const struct target *target;
	char address[ADDRESS_TEXT];
	int fd, signal_fd;
	enum { CONNECTING, AWAY, TALKING } state;
	size_t tried;	   /* addresses of the target, since it was not TALKING */
	uint64_t made;	   /* connections */
	int64_t until;	   /* ns: the end of CONNECTING or AWAY */
	int64_t began;	   /* ns: the try of an address */
	int64_t lost_at;   /* ns: when an outage began; 0: there is none */
	int64_t end, quit; /* ns: when to send no more, and when not to wait any more */
	bool stopped;	   /* by a signal */
	bool over;	   /* no more messages: the deadline, or a signal */
	int64_t back_at;   /* ns: when it ends if an answer comes; 0: when that comes */
	uint64_t taken;	   /* messages of those due that the stream has got */
	uint64_t sequence; /* of the last that came back */
	struct stream stream;
	struct stream_context context;
	struct tally tally;
	struct outages outages;
	struct results results;
};

/* Whether a line for people can be printed now: after a signal there is none that could block. */
static bool has_lines(const struct ping *p)
{
	const struct options *o = p->options;

	return !o->quiet && !o->json && !o->json_stream && !p->stopped &&
	       signals_await_room(p->signal_fd, STDOUT_FILENO);
}

/* The time of day, where it is asked for: before each line. */
static void print_time(const struct ping *p)
{
	struct timespec now;

	if (!p->options->time_stamps)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	printf("[%lld.%06ld] ", (long long)now.tv_sec, now.tv_nsec / 1000);
}

static void stop(struct ping *p)
{
	p->end = p->quit = 0;
}

/* An outage is over. */
static void come_back(struct ping *p)
{
	int64_t now = p->back_at ? p->back_at : clock_ns(), since = p->lost_at;

	outages_end(&p->outages, &p->lost_at, now, true);
	if (has_lines(p)) {
		print_time(p);
		printf("connected to %s again after %s\n", p->address,
		       figures_time((double)(now - since)));
	}
}

static void observe(void *context, size_t size, int64_t latency, bool verified)
{
	struct ping *p = context;

	if (p->lost_at)
		come_back(p);
	p->sequence++;
	if (p->options->json_stream && !p->stopped &&
	    signals_await_room(p->signal_fd, STDOUT_FILENO))
		record_reply(&p->results.run, p->sequence, size, latency, verified);
	if (has_lines(p)) {
		print_time(p);
		printf("%zu bytes from %s: seq=%llu time=%.3f ms%s\n", size, p->address,
		       (unsigned long long)p->sequence, (double)latency / 1e6,
		       verified ? "" : " CORRUPT");
	}
	if (fflush(stdout) != 0 || ferror(stdout)) /* it cannot be read: to go on has no purpose */
		stop(p);
}

static uint64_t due(const struct ping *p)
{
	return counter_get(&p->tally.messages_due);
}

/* When the next message is due; INT64_MAX if there is none. */
static int64_t next_time(const struct ping *p)
{
	if (p->over || p->made == 0 || (p->options->count && due(p) == p->options->count))
		return INT64_MAX;
	return p->results.run.start + (int64_t)due(p) * p->options->interval;
}

/* Counts what is due by now, and gives the stream what it has room for. */
static void add_messages(struct ping *p, int64_t now)
{
	const struct options *o = p->options;

	while (next_time(p) <= now && next_time(p) < p->end)
		counter_increment(&p->tally.messages_due);
	for (; p->state == TALKING && p->taken < due(p) && stream_has_room(&p->stream);
	     p->taken++) {
		if (o->outstanding && p->sequence < p->taken && has_lines(p)) {
			print_time(p);
			printf("no answer yet: seq=%llu\n", (unsigned long long)p->taken);
			(void)fflush(stdout); /* the next line shows an error */
		}
		stream_add(&p->stream,
			   o->min_size +
				   (size_t)(p->taken * 7919 % (o->max_size - o->min_size + 1)),
			   p->results.run.start + (int64_t)p->taken * o->interval, true);
	}
}

/* All that was to be sent is, and is back or lost. */
static bool is_done(const struct ping *p)
{
	return stream_is_quiet(&p->stream) &&
	       (p->over || (p->options->count && p->taken == p->options->count));
}

/*
 * Begins to connect to the next address at which that can be begun; after all of them
 * there is a pause, or with the first connection the end.  0, or -errno of the last.
 */
static int try_next(struct ping *p, int error)
{
	const struct options *o = p->options;
	const struct address *source = o->n_sources ? &o->sources[p->made % o->n_sources] : NULL;

	p->began = clock_ns();
	for (; p->tried < p->target->n; p->tried++) {
		error = p->fd = target_begin(&p->target->addresses[p->tried], source);
		if (p->fd < 0)
			continue;
		p->state = CONNECTING;
		p->until = p->began + o->connect_timeout;
		return 0;
	}
	p->state = AWAY;
	p->tried = 0;
	p->until = p->began + PAUSE_NS;
	return p->made ? 0 : error;
}

/* The connection is made. */
static void begin(struct ping *p)
{
	int64_t now = clock_ns();

	p->state = TALKING;
	counter_increment(&p->tally.connections);
	histogram_record(&p->tally.connect, now - p->began);
	address_format(&p->target->addresses[p->tried], p->address);
	stream_begin(&p->stream, p->options->seed, p->made);
	p->tried = 0;
	if (p->made++ == 0) {
		p->results.run.start = now;
		p->end = p->quit = p->options->deadline ? now + p->options->deadline : INT64_MAX;
		if (!p->options->json && !p->options->json_stream)
			printf("PING %s (%s), %zu bytes of data\n", p->target->name, p->address,
			       p->options->max_size);
		return;
	}
	p->back_at = p->taken == due(p) ? now : 0;
}

/* The connection has ended, as a stream's function says.  0, or what it is if that is the end. */
static int lose(struct ping *p, int why)
{
	int64_t now = clock_ns(), silent = stream_silent_since(&p->stream);
	int64_t since = why == -ETIMEDOUT && silent < now ? silent : now;
	counter unsent = 0;
	unsigned lost = stream_abandon(&p->stream, &p->tally.lost, &unsent);
	const char *text = why == STREAM_END ? "the server has closed the connection" :
			   why == -EBADMSG   ? "it has sent what was not asked for" :
					       target_error(-why);

	p->taken -= counter_get(&unsent); /* for the next connection */
	p->sequence = p->taken;
	if (why == STREAM_END)
		counter_increment(&p->tally.early_closes);
	if (why < 0 && why != -EBADMSG) {
		counter_increment(&p->tally.resets);
		tally_error(&p->tally, -why);
	}
	fprintf(stderr, "echoc: %s: %s\n", p->target->name, text);
	close(p->fd);
	p->fd = -1;
	if (!p->options->reconnect)
		return why;
	outages_begin(&p->outages, &p->lost_at, since, lost);
	p->state = AWAY;
	p->until = now;
	return 0;
}

static void obey(struct ping *p, int signal)
{
	if (signal == SIGQUIT || signal == SIGUSR1) {
		summary_progress(&p->tally);
	} else if (signal != 0) {
		int64_t now = clock_ns();

		/* What is on its way may still come back; with a second signal it may not. */
		p->quit = p->end <= now ? now : now + SECOND_NS;
		p->end = now;
		p->stopped = true;
	}
}

/* Waits for the socket, a signal, or the next thing to do. */
static void wait_for_something(struct ping *p)
{
	bool blocked = p->state == CONNECTING || p->stream.written < p->stream.goal;
	struct pollfd fds[] = {
		{ .fd = p->fd, .events = (short)(POLLIN | (blocked ? POLLOUT : 0)) },
		{ .fd = p->signal_fd, .events = POLLIN },
	};
	int64_t oldest = stream_oldest(&p->stream);
	int64_t end = p->over ? p->quit : MIN(p->end, p->quit), due_at = next_time(p);
	int64_t next = MIN(due_at, end);
	struct timespec timeout;

	if (p->state != TALKING)
		next = MIN(next, p->until);
	else if (oldest != INT64_MAX)
		next = MIN(next, oldest + p->options->timeout + 1);
	timeout = clock_wait(next - clock_ns());
	if (ppoll(fds, 2, &timeout, NULL) > 0)
		obey(p, signals_next(p->signal_fd));
}

/* Follows what becomes of a connect.  0, or -errno if it has failed for good. */
static int step_connect(struct ping *p)
{
	struct pollfd fd = { .fd = p->fd, .events = POLLOUT };
	bool late = p->until <= clock_ns();
	int r;

	if (p->state == AWAY)
		return late ? try_next(p, 0) : 0;
	r = poll(&fd, 1, 0) == 1 ? target_finish(p->fd) : late ? -ETIMEDOUT : 1;
	if (r == 0)
		begin(p);
	if (r >= 0)
		return 0;
	close(p->fd);
	p->fd = -1;
	p->tried++;
	return try_next(p, r);
}

/* Receives, or goes on to connect.  As step(). */
static int follow(struct ping *p)
{
	int r;

	if (p->state != TALKING)
		return step_connect(p);
	r = stream_receive(&p->stream, p->fd, &p->context);
	if (r == STREAM_WAIT && p->options->reconnect &&
	    stream_silent_since(&p->stream) < clock_ns() - p->options->timeout)
		r = -ETIMEDOUT;
	return r == STREAM_WAIT ? 0 : lose(p, r);
}

/* Sends, waits and receives once.  0; or what ended the connection, as a stream's, or -errno. */
static int step(struct ping *p)
{
	int r = STREAM_WAIT;
	int64_t now = clock_ns();

	add_messages(p, now);
	if (p->state == TALKING)
		r = stream_send(&p->stream, p->fd, &p->context);
	if (r < 0)
		return lose(p, r);
	p->over = now >= p->end;
	if (now >= p->quit)
		stream_abandon(&p->stream, &p->tally.in_flight, &p->tally.unsent);
	if (is_done(p))
		return 0;
	wait_for_something(p);
	r = follow(p);
	stream_expire(&p->stream, clock_ns() - p->options->timeout, &p->tally);
	if (!stream_has_room(&p->stream) && stream_is_quiet(&p->stream))
		stop(p); /* all that fit are lost: it will not come back */
	return r;
}

static int conclude(struct ping *p)
{
	int64_t now = clock_ns();
	bool back = p->state == TALKING && p->back_at;

	if (p->made == 0)
		return EXIT_OTHER;
	counter_add(&p->tally.unsent, due(p) - p->taken);
	if (p->lost_at)
		outages_end(&p->outages, &p->lost_at, back ? p->back_at : now, back);
	p->results.run.duration = p->results.run.answered =
		(double)(now - p->results.run.start) / 1e9;
	if (p->options->json || p->options->json_stream)
		return results_end(&p->results, &p->tally);
	summary_ping(&p->results.run, &p->tally);
	return run_status(&p->results.run, &p->tally);
}

int ping_run(const struct options *options, const struct target *target)
{
	static const int taken[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGQUIT, 0 };
	static unsigned char buffer[STREAM_CHUNK];
	static struct ping p;
	int r;

	p.options = p.results.run.options = options;
	p.target = target;
	p.results.run.target = target->name;
	p.results.run.outages = &p.outages;
	p.context = (struct stream_context){ &p.tally, buffer, observe, &p };
	p.end = p.quit = INT64_MAX;
	outages_init(&p.outages);
	if (stream_init(&p.stream, RING) < 0)
		return EXIT_OTHER;
	p.signal_fd = signals_open(taken);
	r = results_begin(&p.results) < 0 ? -errno : try_next(&p, -ENOENT);
	while (r == 0 && !is_done(&p))
		r = step(&p);
	if (r < 0 && p.made == 0)
		fprintf(stderr, "echoc: %s: %s\n", target->name, target_error(-r));
	stream_deinit(&p.stream);
	if (p.fd >= 0)
		close(p.fd);
	return signals_close(p.signal_fd) ? conclude(&p) : EXIT_OTHER;
}
