/* SPDX-License-Identifier: MIT */
#include "echoc/summary.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "echoc/figures.h"
#include "echoc/target.h"

#define OUTAGES_SHOWN 10

#define N(name) counter_get(&tally->name)
#define COUNT(name) figures_count(N(name))

static const struct {
	const char *what;
	size_t offset;
	bool of_messages;
} faults[] = {
	{ "corrupt", offsetof(struct tally, corrupt), true },
	{ "lost", offsetof(struct tally, lost), true },
	{ "unsent", offsetof(struct tally, unsent), true },
	{ "not back at the end", offsetof(struct tally, in_flight), true },
	{ "reset", offsetof(struct tally, resets), false },
	{ "closed early", offsetof(struct tally, early_closes), false },
	{ "not made", offsetof(struct tally, connect_failures), false },
};

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static void print_faults(const struct run *r, const struct tally *tally)
{
	const char *before = "FAULTS:", *of = " of %s messages";
	/* With --reconnect the end of a connection is none. */
	size_t n_kinds = run_forgives(r, tally) ? 1 : r->options->reconnect ? 4 : 7;

	if (run_is_late(r)) {
		printf("%s an outage of %s, longer than %s", before,
		       figures_time((double)r->outages->longest),
		       figures_time((double)r->options->max_outage));
		before = ",";
	}
	for (size_t i = 0; i < n_kinds; i++) {
		uint64_t n = counter_get((const counter *)((const char *)tally + faults[i].offset));

		if (n == 0)
			continue;
		printf("%s %s", before, figures_count(n));
		if (of && faults[i].of_messages) {
			printf(" of %s messages", COUNT(messages_due));
			of = NULL;
		}
		if (!faults[i].of_messages)
			printf(" connection%s", plural(n));
		printf(" %s", faults[i].what);
		before = ",";
	}
}

/* "All 5 messages came back right", or what did not; and the reasons by errno. */
static void print_verdict(const struct run *r, const struct tally *tally)
{
	int status = run_status(r, tally);
	const char *none = getenv("NO_COLOR");
	bool colour = isatty(STDOUT_FILENO) && !(none && *none);

	if (colour)
		fputs(status == EXIT_ALL_BACK ? "\033[32m" : "\033[31m", stdout);
	if (status != EXIT_ALL_BACK)
		print_faults(r, tally);
	else if (N(messages_verified) == N(messages_due) && N(messages_due) > 0)
		printf("%s%s message%s came back right", N(messages_due) > 1 ? "All " : "",
		       COUNT(messages_verified), plural(N(messages_due)));
	else
		printf("%s of %s messages came back, and none was wrong", COUNT(messages_verified),
		       COUNT(messages_due));
	printf(".%s\n", colour ? "\033[0m" : "");
	for (int i = 0; i < TALLY_ERRORS; i++)
		if (counter_get(&tally->errors[i]))
			printf("  %s: %s\n", target_error(i), COUNT(errors[i]));
}

static void print_outages(const struct run *r)
{
	const struct outages *o = r->outages;

	if (o->n == 0)
		return;
	printf("outages:     %u, longest %s%s\n", o->n, figures_time((double)o->longest),
	       run_is_late(r) ? ", which is too long" : "");
	for (unsigned i = 0; i < o->n && i < OUTAGES_SHOWN; i++) {
		const struct outage *one = &o->at[i];
		struct span span = run_outage(r, one);

		printf("  at %s for %s, %s message%s lost\n", figures_time((double)span.start),
		       span.length < 0 ? "the rest" : figures_time((double)span.length),
		       figures_count(one->lost), plural(one->lost));
	}
}

const char *summary_time(const struct histogram *h, double ns)
{
	return counter_get(&h->total) ? figures_time(ns) : "-";
}

const char *summary_quantile(const struct histogram *h, double percent)
{
	if (!run_knows(h, percent))
		return "-";
	return figures_time((double)histogram_quantile(h, percent / 100));
}

static void print_row(const char *name, const char *latency, const char *connect)
{
	printf("%-12s%12s%12s\n", name, latency, connect);
}

static void print_times(const struct histogram *l, const struct histogram *c,
			const struct options *o)
{
	print_row("", "latency", "connect");
	print_row("min", summary_time(l, (double)counter_get(&l->min)),
		  summary_time(c, (double)counter_get(&c->min)));
	print_row("mean", summary_time(l, histogram_mean(l)), summary_time(c, histogram_mean(c)));
	print_row("stddev", summary_time(l, histogram_deviation(l)),
		  summary_time(c, histogram_deviation(c)));
	for (size_t i = 0; i < o->n_percentiles; i++) {
		double percent = o->percentiles[i];
		char name[24];

		snprintf(name, sizeof(name), "p%.10g", percent);
		if (run_knows(l, percent) || run_knows(c, percent))
			print_row(name, summary_quantile(l, percent), summary_quantile(c, percent));
	}
	print_row("max", summary_time(l, (double)counter_get(&l->max)),
		  summary_time(c, (double)counter_get(&c->max)));
	if (histogram_beyond(l))
		printf("Of the %s latencies above 18 minutes only the longest is known.\n",
		       figures_count(histogram_beyond(l)));
}

/* In percent of what was sent. */
static const char *loss(const struct tally *tally)
{
	double percent = run_loss(tally);

	return figures_number(isfinite(percent) ? percent : 0);
}

static void print_counts(const struct run *r, const struct tally *tally)
{
	double answered = r->answered;

	printf("connections: %s made, %s failed, %s reset, %s closed early\n", COUNT(connections),
	       COUNT(connect_failures), COUNT(resets), COUNT(early_closes));
	printf("messages:    %s sent, %s verified, %s corrupt, %s lost (%s %%)",
	       COUNT(messages_sent), COUNT(messages_verified), COUNT(corrupt), COUNT(lost),
	       loss(tally));
	if (N(unsent))
		printf(", %s unsent", COUNT(unsent));
	printf("\nbytes:       %s sent, %s verified, %s MB/s\n", COUNT(bytes_sent),
	       COUNT(bytes_verified), figures_number(run_rate(N(bytes_verified), answered) / 1e6));
	printf("rate:        %s/s offered for %s, %s/s achieved in %s\n",
	       figures_number(run_rate(N(messages_due), r->duration)),
	       figures_time(r->duration * 1e9),
	       figures_number(run_rate(N(messages_verified), answered)),
	       figures_time(answered * 1e9));
}

void summary_print(const struct run *r, const struct tally *tally)
{
	const struct options *o = r->options;
	char date[32];
	struct tm tm;

	print_verdict(r, tally);
	strftime(date, sizeof(date), "%F %T UTC", gmtime_r(&r->date.tv_sec, &tm));
	printf("\n%s, %s\n", r->target, date);
	printf("asked for:   %s connection%s, %zu byte%s", figures_count(o->connections),
	       plural(o->connections), o->min_size, plural(o->max_size));
	if (o->max_size > o->min_size)
		printf(" to %zu bytes", o->max_size);
	if (o->rate > 0)
		printf(", %s/s", figures_number(o->rate));
	printf(", pipeline %u\n", o->pipeline);
	print_counts(r, tally);
	print_outages(r);
	print_times(&tally->latency, &tally->connect, o);
}

void summary_progress(const struct tally *tally)
{
	fprintf(stderr, "%s sent, %s received, %s corrupt, %s lost; p50 %s, max %s\n",
		COUNT(messages_sent), COUNT(messages_verified), COUNT(corrupt), COUNT(lost),
		summary_quantile(&tally->latency, 50),
		summary_time(&tally->latency, (double)counter_get(&tally->latency.max)));
}

/* "rtt p50/p90 = 1.000/2.000 ms", of those that so many samples allow. */
static void print_percentiles(const struct histogram *h, const struct options *o)
{
	const char *before = "rtt ";
	size_t n = 0;

	for (; n < o->n_percentiles && run_knows(h, o->percentiles[n]); n++, before = "/")
		printf("%sp%.10g", before, o->percentiles[n]);
	before = " = ";
	for (size_t i = 0; i < n; i++, before = "/")
		printf("%s%.3f%s", before,
		       (double)histogram_quantile(h, o->percentiles[i] / 100) / 1e6,
		       i + 1 < n ? "" : " ms\n");
}

void summary_ping(const struct run *r, const struct tally *tally)
{
	const struct histogram *h = &tally->latency;

	printf("\n--- %s: %llu sent, %llu received, %llu corrupt, %llu lost (%s %%)", r->target,
	       (unsigned long long)N(messages_sent), (unsigned long long)N(messages_verified),
	       (unsigned long long)N(corrupt), (unsigned long long)N(lost), loss(tally));
	if (N(unsent))
		printf(", %llu unsent", (unsigned long long)N(unsent));
	putchar('\n');
	print_outages(r);
	if (counter_get(&h->total) == 0) {
		printf("no answers\n");
		return;
	}
	printf("rtt min/avg/max/mdev = %.3f/%.3f/%.3f/%.3f ms\n",
	       (double)counter_get(&h->min) / 1e6, histogram_mean(h) / 1e6,
	       (double)counter_get(&h->max) / 1e6, histogram_deviation(h) / 1e6);
	print_percentiles(h, r->options);
}
