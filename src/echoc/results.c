/* SPDX-License-Identifier: MIT */
#include "echoc/results.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *key;
	double share;
} quantiles[] = {
	{ "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p99_9", 0.999 }, { "p99_99", 0.9999 },
};

#define N_QUANTILES (sizeof(quantiles) / sizeof(quantiles[0]))

static double us(uint64_t ns)
{
	return (double)ns / 1e3;
}

static double rate_of(const counter *messages, double seconds)
{
	return seconds > 0 ? (double)counter_get(messages) / seconds : 0;
}

static void print_times(const char *name, const struct histogram *h)
{
	if (counter_get(&h->total) == 0)
		return;
	printf("%-9s us: min %.1f  mean %.1f", name, us(counter_get(&h->min)),
	       histogram_mean(h) / 1e3);
	for (size_t i = 0; i < N_QUANTILES; i++)
		printf("  %s %.1f", quantiles[i].key,
		       us(histogram_quantile(h, quantiles[i].share)));
	printf("  max %.1f\n", us(counter_get(&h->max)));
}

#define N(name) (unsigned long long)counter_get(&tally->name)

int results_print(const struct results *results, const struct tally *tally)
{
	printf("%s: %llu connections (%llu failed), %.3f s\n", results->target, N(connections),
	       N(connect_failures), results->duration);
	printf("messages:  %llu sent, %llu verified, %llu corrupt, %llu lost\n", N(messages_sent),
	       N(messages_verified), N(corrupt), N(lost));
	printf("bytes:     %llu sent, %llu verified\n", N(bytes_sent), N(bytes_verified));
	printf("rate:      %.0f/s offered, %.0f/s achieved\n",
	       rate_of(&tally->messages_due, results->duration),
	       rate_of(&tally->messages_verified, results->answered));
	print_times("latency", &tally->latency);
	print_times("connect", &tally->connect);
	if (counter_get(&tally->resets) || counter_get(&tally->early_closes))
		printf("broken:    %llu connections reset, %llu closed early\n", N(resets),
		       N(early_closes));
	return fflush(stdout) == 0 ? 0 : -1;
}

static json_t *times(const struct histogram *h)
{
	json_t *o = json_pack("{s:f, s:f}", "min", us(counter_get(&h->min)), "mean",
			      histogram_mean(h) / 1e3);

	for (size_t i = 0; i < N_QUANTILES; i++)
		json_object_set_new(o, quantiles[i].key,
				    json_real(us(histogram_quantile(h, quantiles[i].share))));
	json_object_set_new(o, "max", json_real(us(counter_get(&h->max))));
	return o;
}

static json_t *integer(const counter *c)
{
	return json_integer((json_int_t)counter_get(c));
}

int results_print_json(const struct results *results, const struct tally *t)
{
	json_t *o = json_pack(
		"{s:s, s:s, s:i, s:o, s:f, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
		"s:o, s:o, s:f, s:f, s:o, s:o}",
		"version", PACKAGE_VERSION, "target", results->target, "connections",
		(int)results->connections, "connect_failures", integer(&t->connect_failures),
		"duration_s", results->duration, "answered_s", results->answered, "messages_sent",
		integer(&t->messages_sent), "messages_verified", integer(&t->messages_verified),
		"bytes_sent", integer(&t->bytes_sent), "bytes_verified",
		integer(&t->bytes_verified), "corrupt", integer(&t->corrupt), "lost",
		integer(&t->lost), "unsent", integer(&t->unsent), "in_flight",
		integer(&t->in_flight), "resets", integer(&t->resets), "early_closes",
		integer(&t->early_closes), "offered_rate",
		rate_of(&t->messages_due, results->duration), "achieved_rate",
		rate_of(&t->messages_verified, results->answered), "latency_us", times(&t->latency),
		"connect_us", times(&t->connect));
	int r = o ? json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) : -1;

	json_decref(o);
	putchar('\n');
	return r == 0 && fflush(stdout) == 0 ? 0 : -1;
}

int results_write_histogram(FILE *out, const char *path, const struct tally *tally)
{
	int r = histogram_print(&tally->latency, out);

	if (fclose(out) != 0 && r == 0)
		r = -errno;
	if (r < 0)
		fprintf(stderr, "echoc: %s: %s\n", path, strerror(-r));
	return r < 0 ? -1 : 0;
}
