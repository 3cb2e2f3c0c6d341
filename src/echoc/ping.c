/* SPDX-License-Identifier: MIT */
/*
 * Like ping(8), with the payload of a stream: message n is planned at
 * start + n * interval and sent then even if an earlier one is not back, so a
 * server that stops shows in every message of that time.
 */
#include "echoc/ping.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "echoc/options.h"
#include "echoc/results.h"
#include "echoc/signals.h"
#include "echoc/stream.h"
#include "echoc/target.h"

/* Messages on their way at once; more are sent when one is back or lost. */
#define RING 1024

struct ping {
	const struct options *options;
	const struct target *target;
	char address[ADDRESS_TEXT];
	int fd, signal_fd;
	int64_t start, end;
	bool over;	   /* no more messages: all sent, the deadline, or a signal */
	uint64_t sequence; /* of the next that comes back */
	struct stream stream;
	struct stream_context context;
	struct tally tally;
};

static void observe(void *context, size_t size, int64_t latency, bool verified)
{
	struct ping *p = context;

	p->sequence++;
	if (!p->options->quiet && !p->options->json &&
	    signals_await_room(p->signal_fd, STDOUT_FILENO))
		printf("%zu bytes from %s: seq=%llu time=%.3f ms%s\n", size, p->address,
		       (unsigned long long)p->sequence, (double)latency / 1e6,
		       verified ? "" : " CORRUPT");
	if (fflush(stdout) != 0) /* nobody reads it: to go on has no purpose */
		p->end = 0;
}

static uint64_t added(const struct ping *p)
{
	return counter_get(&p->tally.messages_due);
}

/* When the next message is due; INT64_MAX if there is none. */
static int64_t next_time(const struct ping *p)
{
	if (p->over || !stream_has_room(&p->stream))
		return INT64_MAX;
	return p->start + (int64_t)added(p) * p->options->interval;
}

static void add_messages(struct ping *p, int64_t now)
{
	const struct options *o = p->options;

	for (int64_t when = next_time(p); when <= now; when = next_time(p)) {
		size_t spread = o->max_size - o->min_size + 1;

		stream_add(&p->stream, o->min_size + (size_t)(added(p) * 7919 % spread), when,
			   true);
		counter_increment(&p->tally.messages_due);
		if (added(p) == o->count)
			p->over = true;
	}
}

static int64_t earliest(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Waits for the socket, a signal, or the next thing to do. */
static void wait_for_something(struct ping *p)
{
	bool blocked = p->stream.written < p->stream.goal;
	struct pollfd fds[] = {
		{ .fd = p->fd, .events = (short)(POLLIN | (blocked ? POLLOUT : 0)) },
		{ .fd = p->signal_fd, .events = POLLIN },
	};
	int64_t oldest = stream_oldest(&p->stream);
	int64_t next = earliest(next_time(p), p->end);
	struct timespec timeout;
	int signal;

	if (oldest != INT64_MAX)
		next = earliest(next, oldest + p->options->timeout + 1);
	timeout = clock_wait(next - clock_ns());
	if (ppoll(fds, 2, &timeout, NULL) <= 0)
		return;
	signal = signals_next(p->signal_fd);
	if (signal != 0 && signal != SIGUSR1)
		p->end = 0;
}

/* Sends, waits and receives once.  0, or what ended the connection, as a stream's. */
static int step(struct ping *p)
{
	int64_t now;
	int r;

	add_messages(p, clock_ns());
	r = stream_send(&p->stream, p->fd, &p->context);
	if (r < 0)
		return r;
	wait_for_something(p);
	r = stream_receive(&p->stream, p->fd, &p->context);
	now = clock_ns();
	stream_expire(&p->stream, now - p->options->timeout, &p->tally);
	if (!stream_has_room(&p->stream) && stream_is_quiet(&p->stream))
		p->over = true; /* all that fit are lost: it will not come back */
	if (now >= p->end) {
		/* What has been sent this instant had no time to come back. */
		p->over = true;
		stream_abandon(&p->stream, &p->tally.lost, &p->tally.unsent);
	}
	return r == STREAM_WAIT ? 0 : r;
}

static void note_end(struct ping *p, int r)
{
	if (r == 0)
		return;
	stream_abandon(&p->stream, &p->tally.lost, &p->tally.unsent);
	if (r == STREAM_END) {
		counter_increment(&p->tally.early_closes);
		fprintf(stderr, "echoc: %s: the server has closed the connection\n",
			p->target->name);
	} else if (r != -EBADMSG) {
		counter_increment(&p->tally.resets);
		fprintf(stderr, "echoc: %s: %s\n", p->target->name, target_error(-r));
	}
}

static void print_summary(const struct ping *p)
{
	const struct tally *t = &p->tally;
	const struct histogram *h = &t->latency;

	printf("\n--- %s: %llu sent, %llu received, %llu corrupt, %llu lost\n", p->target->name,
	       (unsigned long long)counter_get(&t->messages_sent),
	       (unsigned long long)counter_get(&t->messages_verified),
	       (unsigned long long)counter_get(&t->corrupt),
	       (unsigned long long)counter_get(&t->lost));
	if (counter_get(&h->total) == 0)
		return;
	printf("rtt min/avg/max/mdev = %.3f/%.3f/%.3f/%.3f ms\n",
	       (double)counter_get(&h->min) / 1e6, histogram_mean(h) / 1e6,
	       (double)counter_get(&h->max) / 1e6, histogram_deviation(h) / 1e6);
	printf("rtt p50/p90/p99/p99.9 = %.3f/%.3f/%.3f/%.3f ms\n",
	       (double)histogram_quantile(h, 0.5) / 1e6, (double)histogram_quantile(h, 0.9) / 1e6,
	       (double)histogram_quantile(h, 0.99) / 1e6,
	       (double)histogram_quantile(h, 0.999) / 1e6);
}

static int conclude(const struct ping *p)
{
	struct results results = {
		.target = p->target->name,
		.connections = 1,
		.duration = (double)(clock_ns() - p->start) / 1e9,
		.answered = (double)(clock_ns() - p->start) / 1e9,
	};
	int status = tally_status(&p->tally);

	if (p->options->json)
		return results_print_json(&results, &p->tally) < 0 ? EXIT_OTHER : status;
	print_summary(p);
	return fflush(stdout) == 0 && !ferror(stdout) ? status : EXIT_OTHER;
}

/* Connects, and begins.  0 or -errno. */
static int begin(struct ping *p)
{
	struct address peer;
	int64_t began = clock_ns();

	p->fd = target_connect(p->target, (int)(p->options->connect_timeout / 1000000), &peer);
	if (p->fd < 0)
		return p->fd;
	counter_increment(&p->tally.connections);
	p->start = clock_ns();
	histogram_record(&p->tally.connect, p->start - began);
	p->end = p->options->deadline ? p->start + p->options->deadline : INT64_MAX;
	stream_begin(&p->stream, p->options->seed, 0);
	address_format(&peer, p->address);
	if (!p->options->json)
		printf("PING %s (%s), %zu bytes of data\n", p->target->name, p->address,
		       p->options->max_size);
	return 0;
}

int ping_run(const struct options *options, const struct target *target)
{
	static const int taken[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, 0 };
	static unsigned char buffer[STREAM_CHUNK];
	static struct ping p;
	int r;

	p.options = options;
	p.target = target;
	p.context = (struct stream_context){ &p.tally, buffer, observe, &p };
	if (stream_init(&p.stream, RING) < 0)
		return EXIT_OTHER;
	r = begin(&p);
	if (r < 0) {
		fprintf(stderr, "echoc: %s: %s\n", target->name, target_error(-r));
		stream_deinit(&p.stream);
		return EXIT_OTHER;
	}
	p.signal_fd = signals_open(taken);
	while (r == 0 && !(p.over && stream_is_quiet(&p.stream)))
		r = step(&p);
	note_end(&p, r);
	stream_deinit(&p.stream);
	close(p.fd);
	return signals_close(p.signal_fd) ? conclude(&p) : EXIT_OTHER;
}
