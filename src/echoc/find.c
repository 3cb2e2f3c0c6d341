/* SPDX-License-Identifier: MIT */
/*
 * Each step is a load of its own at one rate.  Rates double until one does not keep
 * the objective, or are halved until one does; then the gap is bisected.  A rate is
 * kept if every message came back right, echoc itself could offer it, and the
 * percentile is within the limit.
 */
#include "echoc/find.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "echoc/figures.h"
#include "echoc/load.h"

#define FIRST_RATE 1000

/* Seconds: no step takes longer for the sake of as many messages as its percentile needs. */
#define LONGEST 5

/* Rates that differ by less than this are the same. */
#define CLOSE_ENOUGH 1.05

struct find {
	const struct options *options;
	const struct target *target;
	double kept, missed; /* rates; 0: none yet */
	int status;	     /* -1: go on */
	json_t *steps;	     /* NULL without --json */
};

/* How many messages it takes to know the percentile. */
static double needed(const struct find *f)
{
	return ceil(100 / (100 - f->options->find.percent) - 1e-6);
}

/*
 * Whether answers come as fast as messages are offered, but for the time that each
 * takes; if not, latencies grow as long as the load lasts.
 */
static bool keeps_up(const struct load_sum *sum)
{
	double each = (double)histogram_quantile(&sum->tally.latency, 0.5) / 1e9;

	return sum->answered - each <= sum->duration / 0.95;
}

/* Why a rate is not kept, in text; or NULL. */
static const char *fault_of(const struct load_sum *sum, double rate, double latency, double limit)
{
	static char text[80];
	const struct tally *t = &sum->tally;
	uint64_t due = counter_get(&t->messages_due), back = counter_get(&t->messages_verified);

	if (back < due)
		snprintf(text, sizeof(text), "%s of %s messages did not come back",
			 figures_count(due - back), figures_count(due));
	else if ((double)due < 0.98 * rate * sum->duration - 1)
		snprintf(text, sizeof(text), "echoc itself could only offer %s/s",
			 figures_number((double)due / sum->duration));
	else if (latency > limit)
		snprintf(text, sizeof(text), "too slow");
	else if (!keeps_up(sum))
		snprintf(text, sizeof(text), "the answers fall behind");
	else
		return NULL;
	return text;
}

static void tell(struct find *f, double rate, double latency, const char *fault)
{
	if (f->steps)
		json_array_append_new(f->steps, json_pack("{s:f, s:b, s:f, s:s?}", "rate", rate,
							  "kept", fault == NULL, "latency_us",
							  latency / 1e3, "fault", fault));
	else
		printf("%12s/s  p%g %-9s  %s\n", figures_number(rate), f->options->find.percent,
		       figures_time(latency), fault ? fault : "kept");
	fflush(stdout);
}

static void try_rate(struct find *f, double rate)
{
	static struct load_sum sum;
	struct options o = *f->options;
	double latency;
	const char *fault;

	o.rate = rate;
	o.quiet = true;
	o.json = o.json_stream = false; /* of one load */
	if (o.duration && (double)o.duration < needed(f) / rate * 1e9)
		o.duration = (int64_t)(needed(f) / rate * 1e9);
	f->status = load_measure(&o, f->target, &sum);
	if (f->status >= 0 || sum.interrupted) {
		if (f->status < 0)
			f->status = EXIT_NOT_ALL_BACK;
		return;
	}
	latency = (double)histogram_quantile(&sum.tally.latency, o.find.percent / 100);
	fault = fault_of(&sum, rate, latency, (double)o.find.time);
	tell(f, rate, latency, fault);
	if (fault)
		f->missed = rate;
	else
		f->kept = rate;
	if (counter_get(&sum.tally.corrupt))
		f->status = EXIT_NOT_ALL_BACK;
}

/* The next rate to try; 0 when the search is over. */
static double next_rate(const struct find *f)
{
	if (f->kept == 0)
		return f->missed / 2 * LONGEST >= needed(f) ? f->missed / 2 : 0;
	if (f->missed == 0)
		return f->kept * 2;
	return f->missed / f->kept > CLOSE_ENOUGH ? (f->kept + f->missed) / 2 : 0;
}

static int conclude(const struct find *f)
{
	const struct options *o = f->options;
	char limit[32];

	snprintf(limit, sizeof(limit), "p%g <= %s", o->find.percent,
		 figures_time((double)o->find.time));
	if (f->steps) {
		json_t *result = json_pack("{s:s, s:s, s:f, s:O}", "target", f->target->name,
					   "objective", limit, "rate", f->kept, "steps", f->steps);

		json_dumpf(result, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
		putchar('\n');
		json_decref(result);
	} else if (f->kept > 0) {
		printf("%s highest rate with %s is %s/s.\n",
		       f->status < 0 ? "The" : "Cut short: so far the", limit,
		       figures_number(f->kept));
	} else {
		printf("No rate was found with %s.\n", limit);
	}
	if (fflush(stdout) != 0 || ferror(stdout))
		return EXIT_OTHER;
	return f->status >= 0 ? f->status : f->kept > 0 ? EXIT_ALL_BACK : EXIT_NOT_ALL_BACK;
}

/* What cannot be searched.  0 or EXIT_OTHER. */
static int refuse(const struct find *f)
{
	const struct options *o = f->options;

	if (o->histogram || o->hlog)
		fprintf(stderr, "echoc: --find-rate runs several loads, and writes no file\n");
	else if (o->messages && (double)o->messages < needed(f))
		fprintf(stderr, "echoc: --find-rate p%g needs %.0f messages at least\n",
			o->find.percent, needed(f));
	else if (o->rate > 0 && o->rate * LONGEST < needed(f))
		fprintf(stderr, "echoc: --find-rate p%g needs a --rate of %g at least\n",
			o->find.percent, needed(f) / LONGEST);
	else
		return 0;
	return EXIT_OTHER;
}

int find_run(const struct options *options, const struct target *target)
{
	bool json = options->json || options->json_stream;
	struct find f = { .options = options, .target = target, .status = -1 };
	double rate = options->rate > 0 ? options->rate : FIRST_RATE;
	int status = refuse(&f);

	if (status != 0)
		return status;
	f.steps = json ? json_array() : NULL;
	for (; rate > 0 && f.status < 0; rate = next_rate(&f))
		try_rate(&f, rate);
	status = f.status == EXIT_OTHER ? EXIT_OTHER : conclude(&f);
	json_decref(f.steps);
	return status;
}
