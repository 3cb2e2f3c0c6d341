/* SPDX-License-Identifier: MIT */
/*
 * A file has one run or several of the same load; its figure is their median, and the
 * spread is from their least to their largest.  A difference between two files says
 * something if it is larger than both spreads.
 */
#include "echoc/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "echoc/figures.h"
#include "echoc/runs.h"

struct figure {
	double median, spread, largest;
	size_t n;
};

static int order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct figure figure_of(const struct runs *runs, const char *group, const char *name)
{
	struct figure f = { .n = 0 };
	double values[RUNS_MAX];

	for (size_t i = 0; i < runs->n; i++) {
		double value = runs_number(runs->at[i].result, group, name);

		if (isfinite(value))
			values[f.n++] = value;
	}
	if (f.n == 0)
		return f;
	qsort(values, f.n, sizeof(values[0]), order);
	f.median = (values[(f.n - 1) / 2] + values[f.n / 2]) / 2;
	f.largest = values[f.n - 1];
	f.spread = f.largest - values[0];
	return f;
}

static const char *judge(const struct figure *a, const struct figure *b)
{
	double larger = a->spread > b->spread ? a->spread : b->spread;

	if (a->n < 2 || b->n < 2)
		return "not known";
	return fabs(a->median - b->median) > larger ? "larger" : "within";
}

/* Those of faults only if there is any. */
static void print_figure(const struct runs *a, const struct runs *b, const char *group,
			 const char *name, bool is_fault)
{
	struct figure x = figure_of(a, group, name), y = figure_of(b, group, name);
	char label[64], ratio[24] = "-";

	if (x.n == 0 || y.n == 0 || (is_fault && x.largest == 0 && y.largest == 0))
		return;
	snprintf(label, sizeof(label), "%s%s%s", group ? group : "", group ? " " : "", name);
	if (x.median != 0)
		snprintf(ratio, sizeof(ratio), y.median / x.median < 0.1 ? "%.2g" : "%.3f",
			 y.median / x.median);
	printf("%-17s %10s %9s %10s %9s %7s  %s\n", label, figures_number(x.median),
	       figures_number(x.spread), figures_number(y.median), figures_number(y.spread), ratio,
	       judge(&x, &y));
}

/* What the first runs of the two do not have in common. */
static void print_difference(const struct runs *a, const struct runs *b, const char *name)
{
	const char *x = json_string_value(json_object_get(a->at[0].result, name));
	const char *y = json_string_value(json_object_get(b->at[0].result, name));

	if (x && y && strcmp(x, y) != 0)
		printf("The %ss differ: %s, %s\n", name, x, y);
}

/* The options that the first runs of the two do not have in common. */
static void print_parameters(const struct runs *a, const struct runs *b)
{
	json_t *x = json_object_get(a->at[0].result, "parameters");
	json_t *y = json_object_get(b->at[0].result, "parameters"), *value;
	const char *name, *before = "The parameters differ: ";

	json_object_foreach (x, name, value) {
		if (json_equal(value, json_object_get(y, name)))
			continue;
		printf("%s%s", before, name);
		before = ", ";
	}
	if (*before == ',')
		putchar('\n');
}

static void print_pair(const struct runs *a, const struct runs *b)
{
	static const char *const counts[] = { "offered_rate", "achieved_rate", "verified_mb_s",
					      "loss_percent" };
	static const char *const faults[] = { "corrupt", "lost",	 "unsent",
					      "resets",	 "early_closes", "connect_failures" };
	json_t *times = json_object_get(a->at[0].result, "latency_us"), *value;
	const char *name;

	printf("A: %s, %zu run%s\nB: %s, %zu run%s\n", a->path, a->n, a->n > 1 ? "s" : "", b->path,
	       b->n, b->n > 1 ? "s" : "");
	print_difference(a, b, "command");
	print_difference(a, b, "target");
	print_parameters(a, b);
	printf("\n%-17s %10s %9s %10s %9s %7s  %s\n", "", "A", "spread", "B", "spread", "B/A",
	       "difference");
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		print_figure(a, b, NULL, counts[i], false);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		print_figure(a, b, NULL, faults[i], true);
	json_object_foreach (times, name, value) {
		print_figure(a, b, "latency_us", name, false);
	}
	if (a->n < 2 || b->n < 2)
		printf("Only several runs in each file show what differs by more than chance.\n");
}

/* Reads runs that have ended.  0; or -1 after a complaint. */
static int read_whole(struct runs *runs, const char *path)
{
	int r = runs_read(runs, path);

	for (size_t i = 0; i < runs->n && r == 0; i++)
		if (runs->at[i].lines && !json_object_get(runs->at[i].result, "status"))
			r = fprintf(stderr, "echoc: %s: cut off: a stream without its end\n", path);
	return r == 0 ? 0 : -1;
}

int compare_run(const struct options *o)
{
	static struct runs first, other;
	int r = read_whole(&first, o->files[0]);

	for (size_t i = 1; i < o->n_files && r == 0; i++) {
		r = read_whole(&other, o->files[i]);
		if (r == 0) {
			printf("%s", i > 1 ? "\n" : "");
			print_pair(&first, &other);
		}
		runs_free(&other);
	}
	runs_free(&first);
	return r == 0 ? EXIT_ALL_BACK : EXIT_OTHER;
}
