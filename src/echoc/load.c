/* SPDX-License-Identifier: MIT */
/*
 * Main's part of a load: it starts the loaders, moves the phases on, shows
 * progress once a second, and sums up.  ^C ends the load gracefully, a second
 * one at once; the summary comes in any case.
 */
#include "echoc/load.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "echoc/loader.h"
#include "echoc/results.h"
#include "echoc/signals.h"

#define SECOND_NS 1000000000

struct load {
	struct plan plan;
	struct loader *loaders;
	unsigned n; /* that were initialized */
	unsigned n_running;
	int signal_fd;
	bool interrupted, gone;
	struct tally sum;	  /* of all loaders */
	struct load_sum *measure; /* NULL: the results are printed */
	struct results results;
};

static void set_phase(struct load *load, enum phase phase)
{
	int64_t now = clock_ns();

	if (load->plan.start == 0) { /* or interrupted before: then nothing was due */
		const struct options *o = load->plan.options;

		load->plan.start = now;
		load->plan.stop = o->duration ? now + o->warmup + o->duration : INT64_MAX;
	}
	if (phase != PHASE_TALK && now < load->plan.stop)
		load->plan.stop = now;
	atomic_store(&load->plan.phase, (int)phase);
	for (unsigned i = 0; i < load->n; i++)
		poller_wake(&load->loaders[i].links.poller);
}

static unsigned count_flags(const struct load *load, bool ended)
{
	unsigned n = 0;

	for (unsigned i = 0; i < load->n; i++)
		n += ended ? load->loaders[i].has_ended : load->loaders[i].links.has_tried;
	return n;
}

static void sum_up(const struct load *load, struct tally *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned i = 0; i < load->n; i++)
		tally_add(sum, &load->loaders[i].links.tally);
}

static double seconds(int64_t from, int64_t to)
{
	return to > from ? (double)(to - from) / SECOND_NS : 0;
}

/* Tells how it goes. */
static void show(struct load *load, int64_t now)
{
	unsigned open = 0;

	sum_up(load, &load->sum);
	for (unsigned i = 0; i < load->n; i++)
		open += load->loaders[i].links.open;
	results_interval(&load->results, &load->sum, now, open);
}

/* Waits for a signal or a loader's word, until a time.  True if it was a signal. */
static bool wait_until(struct load *load, int64_t time)
{
	struct pollfd p[] = {
		{ .fd = load->signal_fd, .events = POLLIN },
		{ .fd = load->plan.done_fd, .events = POLLIN },
	};
	int64_t ms = (time - clock_ns() + 999999) / 1000000;
	eventfd_t ignored;
	int signal;

	if (poll(p, 2, ms < 0 ? 0 : ms > 1000 ? 1000 : (int)ms) <= 0)
		return false;
	(void)eventfd_read(load->plan.done_fd, &ignored);
	signal = signals_next(load->signal_fd);
	if (signal == 0 || signal == SIGUSR1)
		return false;
	if (isatty(STDERR_FILENO))
		fputc('\n', stderr); /* behind the "^C" of the terminal */
	set_phase(load, load->interrupted ? PHASE_QUIT : PHASE_END);
	load->interrupted = true;
	return true;
}

/* Until every connection was tried. */
static void connect_all(struct load *load)
{
	int64_t next = load->plan.connect_start + SECOND_NS;

	while (count_flags(load, false) < load->n && !load->interrupted) {
		wait_until(load, next);
		if (clock_ns() < next)
			continue;
		sum_up(load, &load->sum);
		results_connecting(&load->results, &load->sum,
				   seconds(load->plan.connect_start, next));
		next += SECOND_NS;
	}
}

static void talk(struct load *load)
{
	const struct options *o = load->plan.options;
	int64_t interval = o->report_interval ? o->report_interval : SECOND_NS, end, next, now;

	set_phase(load, PHASE_TALK);
	load->results.run.start = load->plan.start + o->warmup;
	end = load->plan.stop;
	next = load->results.run.start + interval;
	while (clock_ns() < end && count_flags(load, true) < load->n && !load->interrupted &&
	       !ferror(stdout)) {
		wait_until(load, next < end ? next : end);
		if (clock_ns() < next)
			continue;
		if (signals_await_room(load->signal_fd,
				       o->json_stream ? STDOUT_FILENO : STDERR_FILENO))
			show(load, clock_ns());
		for (now = clock_ns(); next <= now; next += interval)
			continue; /* a report that is late is of a longer interval */
	}
}

/* Waits until the loaders have ended: each does within its timeout. */
static void finish(struct load *load)
{
	if (!load->interrupted)
		set_phase(load, PHASE_END);
	while (count_flags(load, true) < load->n_running)
		wait_until(load, INT64_MAX);
	for (unsigned i = 0; i < load->n_running; i++)
		loader_join(&load->loaders[i]);
	load->n_running = 0;
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit); /* else connects fail, and say so */
	}
}

/* 0 or -errno. */
static int start(struct load *load)
{
	static const int taken[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, 0 };
	unsigned n = load->plan.options->threads;
	int r = 0;

	raise_descriptor_limit();
	load->signal_fd = signals_open(taken);
	load->plan.done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	load->plan.connect_start = clock_ns();
	load->loaders = calloc(n, sizeof(*load->loaders));
	if (!load->loaders || load->signal_fd < 0 || load->plan.done_fd < 0)
		return -ENOMEM;
	for (; load->n < n && r == 0; load->n++)
		r = loader_init(&load->loaders[load->n], &load->plan, load->n);
	while (load->n_running < n && r == 0) {
		r = loader_start(&load->loaders[load->n_running]);
		load->n_running += r == 0;
	}
	return r;
}

/* All connections have ended, and there were still messages to be sent. */
static bool is_gone(const struct load *load)
{
	uint64_t left = 0;

	if (count_flags(load, true) < load->n)
		return false;
	for (unsigned i = 0; i < load->n; i++)
		left += load->loaders[i].links.left; /* its thread has ended */
	return left > 0;
}

/* The first error of a connection, or 0. */
static int first_error(const struct load *load)
{
	int error = 0;

	for (unsigned i = 0; i < load->n && error == 0; i++)
		error = load->loaders[i].links.error;
	return error;
}

/* Says why nothing, or not everything, could be done.  True if there is no result. */
static bool complain(const struct load *load)
{
	const struct tally *t = &load->sum;
	const char *name = load->plan.target->name;
	int error = first_error(load);
	const char *why = error ? target_error(error) : "the server has closed them";

	if (counter_get(&t->connections) == 0 && error) {
		fprintf(stderr, "echoc: %s: %s\n", name, why);
		return true;
	}
	if (load->interrupted && counter_get(&t->messages_due) == 0) {
		fprintf(stderr, "echoc: %s: interrupted before there was a result\n", name);
		return true;
	}
	if (load->gone)
		fprintf(stderr, "echoc: %s: all connections have ended: %s\n", name, why);
	else if (error)
		fprintf(stderr, "echoc: %s: some connections failed, the first: %s\n", name, why);
	return false;
}

/* For how long messages were offered, and answered. */
static void measure_time(struct load *load)
{
	const struct options *o = load->plan.options;
	struct run *run = &load->results.run;

	run->start = load->plan.start + o->warmup;
	run->duration = seconds(run->start, load->plan.stop);
	if (o->rate > 0 && o->messages && !load->interrupted && !load->gone)
		run->duration = (double)counter_get(&load->sum.messages_due) / o->rate;
	run->answered = seconds(run->start, (int64_t)counter_get(&load->sum.last_answer));
	if (run->answered < run->duration)
		run->answered = run->duration;
}

/* Prints the results.  The exit status. */
static int conclude(struct load *load)
{
	const struct options *o = load->plan.options;
	const struct run *run = &load->results.run;

	if (!signals_close(load->signal_fd))
		return EXIT_OTHER;
	sum_up(load, &load->sum);
	measure_time(load);
	if (complain(load)) {
		if (o->json || o->json_stream)
			(void)results_end(&load->results, &load->sum);
		return EXIT_OTHER;
	}
	if (load->measure) {
		*load->measure = (struct load_sum){ load->sum, run->duration, run->answered,
						    load->interrupted };
		return -1;
	}
	return results_end(&load->results, &load->sum);
}

static void load_free(struct load *load)
{
	for (unsigned i = 0; i < load->n; i++)
		loader_deinit(&load->loaders[i]);
	(void)results_close(&load->results);
	free(load->loaders);
	free(load);
}

/* Connects, talks and tells what came of it.  The exit status. */
static int run(struct load *load)
{
	int r = start(load);

	if (r < 0) {
		fprintf(stderr, "echoc: cannot start: %s\n", strerror(-r));
		set_phase(load, PHASE_QUIT);
	} else {
		connect_all(load);
		if (!load->interrupted)
			talk(load);
	}
	load->gone = r == 0 && !load->interrupted && is_gone(load);
	finish(load);
	return r == 0 ? conclude(load) : EXIT_OTHER;
}

static int begin(const struct options *options, const struct target *target,
		 struct load_sum *measure)
{
	struct load *load = calloc(1, sizeof(*load));
	int status = EXIT_OTHER;

	if (!load)
		return EXIT_OTHER;
	load->plan.options = options;
	load->plan.target = target;
	outages_init(&load->plan.outages);
	load->measure = measure;
	load->results.run.options = options;
	load->results.run.target = target->name;
	load->results.run.outages = &load->plan.outages;
	if (measure || results_begin(&load->results) == 0)
		status = run(load);
	load_free(load);
	return status;
}

int load_run(const struct options *options, const struct target *target)
{
	return begin(options, target, NULL);
}

int load_measure(const struct options *options, const struct target *target, struct load_sum *sum)
{
	return begin(options, target, sum);
}
