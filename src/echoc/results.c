/* SPDX-License-Identifier: MIT */
#include "echoc/results.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "echoc/figures.h"
#include "echoc/hlog.h"
#include "echoc/record.h"
#include "echoc/summary.h"

#define N(name) counter_get(&tally->name)
#define COUNT(name) figures_count(N(name))

/* Progress is for a terminal, or on request. */
static bool is_visible(const struct results *r)
{
	const struct options *o = r->run.options;

	return !o->quiet && !o->json_stream && (o->report_interval || isatty(STDERR_FILENO));
}

/* Opens a file that is asked for, at once, rather than to fail after an hour.  True if it can. */
static bool open_file(FILE **file, const char *path)
{
	*file = path ? fopen(path, "we") : NULL;
	if (path && !*file)
		fprintf(stderr, "echoc: %s: %s\n", path, strerror(errno));
	return !path || *file;
}

int results_begin(struct results *r)
{
	clock_gettime(CLOCK_REALTIME, &r->run.date);
	if (!open_file(&r->histogram, r->run.options->histogram) ||
	    !open_file(&r->hlog, r->run.options->hlog))
		return -1;
	if (r->run.options->json_stream)
		record_start(&r->run);
	return 0;
}

void results_connecting(struct results *r, const struct tally *tally, double seconds)
{
	if (is_visible(r))
		fprintf(stderr, "%4.0f s  connecting: %s of %s connections made, %s failed\n",
			seconds, COUNT(connections), figures_count(r->run.options->connections),
			COUNT(connect_failures));
}

/* A row of the table, of one interval. */
static void print_row(struct results *r, const struct tally *tally, double seconds, int64_t now,
		      unsigned open)
{
	if (r->rows++ == 0)
		fprintf(stderr, "%6s %6s %7s %8s %7s %7s %7s %5s %6s %7s\n", "time", "conns",
			"sent/s", "back/s", "p50", "p99", "max", "lost", "unsent", "corrupt");
	fprintf(stderr, "%4.*f s %6s %7s %8s %7s %7s %7s %5s %6s %7s\n",
		r->run.options->report_interval % 1000000000 ? 1 : 0,
		(double)(now - r->run.start) / 1e9, figures_count(open),
		figures_number(run_rate(N(messages_sent), seconds)),
		figures_number(run_rate(N(messages_verified), seconds)),
		summary_quantile(&tally->latency, 50), summary_quantile(&tally->latency, 99),
		summary_time(&tally->latency, (double)counter_get(&tally->latency.max)),
		COUNT(lost), COUNT(unsent), COUNT(corrupt));
}

void results_interval(struct results *r, const struct tally *tally, int64_t now, unsigned open)
{
	double seconds = (double)(now - (r->shown_at ? r->shown_at : r->run.start)) / 1e9;
	bool visible = is_visible(r);

	if (!visible && !r->run.options->json_stream && !r->hlog)
		return;
	memcpy(&r->change, tally, sizeof(*tally));
	tally_subtract(&r->change, &r->shown);
	if (visible)
		print_row(r, &r->change, seconds, now, open);
	if (r->hlog && r->shown_at == 0) {
		struct timespec date;

		clock_gettime(CLOCK_REALTIME, &date);
		hlog_begin(r->hlog, date.tv_sec * INT64_C(1000) + date.tv_nsec / 1000000 -
					    (clock_ns() - r->run.start) / 1000000);
	}
	if (r->hlog)
		hlog_add(r->hlog, &r->change.latency, (double)(now - r->run.start) / 1e9 - seconds,
			 seconds);
	memcpy(&r->shown, tally, sizeof(*tally));
	r->shown_at = now;
	if (r->run.options->json_stream)
		record_interval(&r->run, &r->change, seconds, now, open);
}

/* Closes a file that is open.  0 or -1. */
static int close_file(FILE **file, const char *path)
{
	bool failed = *file && (ferror(*file) | fclose(*file)) != 0;

	*file = NULL;
	if (failed)
		fprintf(stderr, "echoc: %s: %s\n", path, strerror(errno));
	return failed ? -1 : 0;
}

int results_close(struct results *r)
{
	int histogram = close_file(&r->histogram, r->run.options->histogram);
	int hlog = close_file(&r->hlog, r->run.options->hlog);

	return histogram < 0 ? histogram : hlog;
}

int results_end(struct results *r, const struct tally *tally)
{
	const struct options *o = r->run.options;

	if (o->command == COMMAND_LOAD && (o->json_stream || r->hlog))
		results_interval(r, tally, clock_ns(), 0); /* what came since the last one */
	if (o->json_stream)
		record_end(&r->run, tally);
	else if (o->json)
		record_result(&r->run, tally);
	else
		summary_print(&r->run, tally);
	if (r->histogram)
		histogram_print(&tally->latency, r->histogram);
	return results_close(r) < 0 ? EXIT_OTHER : run_status(&r->run, tally);
}
