/* SPDX-License-Identifier: MIT */
/*
 * gnuplot gets one script on its standard input, and what it draws is read from its
 * standard output, to be written if it is whole.  The script has for each file a block
 * of rows over time (seconds, offered and achieved rate, p50, p99 and max in seconds) and
 * one of its distribution (1 / (1 - share), seconds), then the panels that these allow.
 *
 * Lines and text have colours that can be read on white and on black, and there is no
 * background.
 */
#include "echoc/plot.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "echoc/runs.h"

#define FILES_MAX 12
#define LINES_MAX 3
#define PANEL_HEIGHT 280
#define GREY "textcolor rgb '#808080'"
#define OUTAGE "'#e5534b'"

static const char settings[] = "set key outside right top " GREY "\n"
			       "set border 3 linecolor rgb '#808080'\n"
			       "set tics nomirror " GREY "\n"
			       "set grid linecolor rgb '#808080' linewidth 0.4 dashtype 3\n"
			       "set lmargin 10\nset xrange [0:*]\nset autoscale xfixmax\n"
			       "array c[6] = ['#2f81f7', '#d9730d', '#2da44e', '#a371f7', "
			       "'#0e9aa0', '#bf8700']\n";

enum panel { RATES, TIMES, DISTRIBUTION, PANELS };

static const struct {
	const char *title, *settings;
	char block; /* t: over time, d: the distribution */
	struct {
		int column;
		const char *name;
	} lines[LINES_MAX];
} panels[PANELS] = {
	[RATES] = { "Messages a second",
		    "set xlabel 'seconds' " GREY "\nset format y '%g'\nset yrange [0:*]",
		    't',
		    { { 2, "offered" }, { 3, "achieved" } } },
	[TIMES] = { "Latency over time",
		    "set xlabel 'seconds' " GREY
		    "\nset format y '%.0s %cs'\nset yrange [*:*]\nset logscale y",
		    't',
		    { { 4, "p50" }, { 5, "p99" }, { 6, "max" } } },
	[DISTRIBUTION] = { "Latency by percentile",
			   "unset object\nset autoscale x\nset xlabel 'percent of the messages "
			   "that took no "
			   "longer' " GREY "\n"
			   "set format y '%.0s %cs'\nset yrange [*:*]\nset logscale xy\n"
			   "set xrange [1:*]\n"
			   "set xtics ('0' 1, '50' 2, '90' 10, '99' 100, '99.9' 1e3, '99.99' 1e4, "
			   "'99.999' 1e5, '99.9999' 1e6, '99.99999' 1e7)",
			   'd',
			   { { 2, "latency" } } },
};

struct plot {
	const struct options *options;
	FILE *out; /* the script */
	bool has[PANELS][FILES_MAX], outages;
	char name[400]; /* of the run, if there is one file */
};

/* Text that gnuplot takes as it is. */
static void put_text(FILE *out, const char *text)
{
	putc('\'', out);
	for (; *text; text++) {
		if (*text == '\'')
			putc('\'', out);
		putc(iscntrl((unsigned char)*text) ? '?' : *text, out);
	}
	putc('\'', out);
}

/* An interval, or a reply of ping: time, rates, and latencies in seconds, or NaN. */
static void put_row(struct plot *p, size_t file, const json_t *line)
{
	static const char *const times[] = { "p50", "p99", "max" };
	double offered = runs_number(line, NULL, "offered_rate");
	double reply = runs_number(line, NULL, "latency_us");

	fprintf(p->out, "%.9g %.9g %.9g", runs_number(line, NULL, "time_s"), offered,
		runs_number(line, NULL, "achieved_rate"));
	for (int i = 0; i < 3; i++) {
		double time = runs_number(line, "latency_us", times[i]);

		time = isfinite(reply) ? reply : time;
		fprintf(p->out, " %.9g", time / 1e6);
		p->has[TIMES][file] |= isfinite(time);
	}
	putc('\n', p->out);
	p->has[RATES][file] |= isfinite(offered);
}

/* The short end of a run, whose rates say nothing. */
static bool is_rest(const json_t *line, const json_t *first)
{
	return runs_number(line, NULL, "duration_s") < runs_number(first, NULL, "duration_s") / 2;
}

/* What percentiles tell of the distribution, and the longest. */
static void put_percentiles(struct plot *p, size_t file, const json_t *result)
{
	json_t *times = json_object_get(result, "latency_us"), *time;
	const char *name;

	json_object_foreach (times, name, time) {
		double x = *name == 'p' ? 100 / (100 - strtod(name + 1, NULL)) :
					  runs_number(result, NULL, "messages_verified");

		if (json_is_number(time) && (*name == 'p' || strcmp(name, "max") == 0)) {
			fprintf(p->out, "%.9g %.9g\n", x, json_number_value(time) / 1e6);
			p->has[DISTRIBUTION][file] = true;
		}
	}
}

/* Shades the times of outages. */
static void put_outages(struct plot *p, const json_t *result)
{
	const json_t *outage;
	size_t i;

	json_array_foreach (json_object_get(result, "outages"), i, outage) {
		double start = runs_number(outage, NULL, "start_s");
		double end = start + runs_number(outage, NULL, "length_s");

		fprintf(p->out,
			"set object rectangle from %.9g, graph 0 to %.9g, graph 1 behind fillcolor "
			"rgb " OUTAGE " fillstyle transparent solid 0.3 noborder\n",
			start, isfinite(end) ? end : runs_number(result, NULL, "duration_s"));
		p->outages = true;
	}
}

static void name_run(struct plot *p, const json_t *result)
{
	const char *target = json_string_value(json_object_get(result, "target"));
	const char *date = json_string_value(json_object_get(result, "date"));

	if (target && date)
		snprintf(p->name, sizeof(p->name), " (%s, %s)", target, date);
}

/* The first run of a file of JSON.  0 or -1. */
static int put_run(struct plot *p, size_t file)
{
	static struct runs runs;
	const json_t *line;
	size_t i;

	if (runs_read(&runs, p->options->files[file]) < 0)
		return -1;
	fprintf(p->out, "$t%zu << EOD\n", file);
	json_array_foreach (runs.at[0].lines, i, line)
		if (!is_rest(line, json_array_get(runs.at[0].lines, 0)))
			put_row(p, file, line);
	fprintf(p->out, "EOD\n$d%zu << EOD\n", file);
	put_percentiles(p, file, runs.at[0].result);
	fputs("EOD\n", p->out);
	put_outages(p, runs.at[0].result);
	if (p->options->n_files == 1)
		name_run(p, runs.at[0].result);
	runs_free(&runs);
	if (p->has[TIMES][file] || p->has[DISTRIBUTION][file])
		return 0;
	fprintf(stderr, "echoc: no answers in %s\n", p->options->files[file]);
	return -1;
}

/* The rows of a file of --histogram, whose unit is the microsecond.  0 or -1. */
static int put_histogram(struct plot *p, size_t file, FILE *in)
{
	double value, share, count, inverse;
	char line[256];

	fprintf(p->out, "$d%zu << EOD\n", file);
	while (fgets(line, sizeof(line), in)) {
		int n = sscanf(line, "%lf %lf %lf %lf", &value, &share, &count, &inverse);

		if (n < 3)
			continue;
		fprintf(p->out, "%.9g %.9g\n", n == 4 ? inverse : count, value / 1e6);
		p->has[DISTRIBUTION][file] = true;
	}
	fputs("EOD\n", p->out);
	if (p->has[DISTRIBUTION][file])
		return 0;
	fprintf(stderr, "echoc: %s: neither JSON of echoc nor percentile text\n",
		p->options->files[file]);
	return -1;
}

/* 0 or -1. */
static int put_file(struct plot *p, size_t file)
{
	FILE *in = fopen(p->options->files[file], "re");
	int c = in ? getc(in) : EOF, r;

	if (!in || c == '{') {
		r = put_run(p, file); /* which says what is wrong */
	} else {
		ungetc(c, in);
		r = put_histogram(p, file, in);
	}
	if (in)
		fclose(in);
	return r;
}

/* A line of a panel, in a colour of its own, or with several files in that of its file. */
static void put_line(const struct plot *p, enum panel panel, size_t file, size_t line)
{
	bool alone = p->options->n_files == 1, replies = panel == TIMES && !p->has[RATES][file];
	const char *path = p->options->files[file], *base = strrchr(path, '/');
	char title[300];

	if (base)
		path = base + 1;
	snprintf(title, sizeof(title), "%s%s%s", alone ? "" : path, alone ? "" : " ",
		 replies ? "a reply" : panels[panel].lines[line].name);
	fprintf(p->out,
		"$%c%zu using 1:%d with %s linewidth 2 linecolor rgb c[%zu] dashtype %zu title ",
		panels[panel].block, file, panels[panel].lines[line].column,
		replies ? "points pointtype 7 pointsize 0.3" : "lines",
		(alone ? line : file) % 6 + 1, alone ? 1 : line + 1);
	put_text(p->out, title);
}

/* True if a file has something for it. */
static bool is_used(const struct plot *p, enum panel panel)
{
	return memchr(p->has[panel], 1, sizeof(p->has[panel]));
}

static void put_panel(const struct plot *p, enum panel panel, bool first)
{
	const char *before = "plot ";
	char title[500];

	fputs("set title ", p->out);
	snprintf(title, sizeof(title), "%s%s", panels[panel].title, first ? p->name : "");
	put_text(p->out, title);
	fprintf(p->out, " " GREY "\n%s\n", panels[panel].settings);
	for (size_t file = 0; file < p->options->n_files; file++)
		for (size_t i = 0; i < LINES_MAX && p->has[panel][file]; i++) {
			if (!panels[panel].lines[i].name ||
			    (i > 0 && panel == TIMES && !p->has[RATES][file]))
				break;
			fputs(before, p->out);
			put_line(p, panel, file, i);
			before = ", ";
		}
	if (p->outages && panel != DISTRIBUTION)
		fputs(", keyentry with boxes fillstyle solid 0.3 noborder linecolor rgb " OUTAGE
		      " title 'outage'",
		      p->out);
	putc('\n', p->out);
}

/* Writes the script.  0 or -1. */
static int put_script(struct plot *p)
{
	int n = 0, drawn = 0;

	fputs(settings, p->out);
	for (size_t i = 0; i < p->options->n_files; i++)
		if (put_file(p, i) < 0)
			return -1;
	for (enum panel panel = 0; panel < PANELS; panel++)
		n += is_used(p, panel);
	fprintf(p->out, "set terminal svg noenhanced size 900,%d font 'sans-serif,13'\n",
		n * PANEL_HEIGHT);
	fprintf(p->out, "set multiplot layout %d,1\nset rmargin at screen %g\n", n,
		p->options->n_files == 1 ? 0.85 : 0.75);
	for (enum panel panel = 0; panel < PANELS; panel++)
		if (is_used(p, panel))
			put_panel(p, panel, drawn++ == 0);
	return 0;
}

/* Has gnuplot fill a picture by a script.  0 or -1. */
static int draw(FILE *script, FILE *picture)
{
	FILE *gnuplot = NULL;
	int c, status;

	if (fflush(script) == 0 && dup2(fileno(script), STDIN_FILENO) == STDIN_FILENO &&
	    lseek(STDIN_FILENO, 0, SEEK_SET) == 0)
		gnuplot = popen("command -v gnuplot >/dev/null || exit 127; exec gnuplot", "re");
	if (!gnuplot) {
		fprintf(stderr, "echoc: cannot start gnuplot: %s\n", strerror(errno));
		return -1;
	}
	while ((c = getc(gnuplot)) != EOF)
		putc(c, picture);
	status = pclose(gnuplot);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		fprintf(stderr, "echoc: plot needs the program gnuplot, which is not installed\n");
	return status == 0 ? 0 : -1;
}

/* Where it is asked for; main() looks at the errors of standard output.  The exit status. */
static int save(const struct options *o, const char *picture, size_t size)
{
	FILE *out = o->output ? fopen(o->output, "we") : stdout;
	bool saved = out && fwrite(picture, 1, size, out) == size;

	if (out && o->output)
		saved &= fclose(out) == 0;
	if (saved || !o->output)
		return EXIT_ALL_BACK;
	fprintf(stderr, "echoc: %s: %s\n", o->output, strerror(errno));
	return EXIT_OTHER;
}

int plot_run(const struct options *o)
{
	static struct plot p;
	FILE *memory;
	char *picture;
	size_t size;
	int r;

	p.options = o;
	if (o->n_files > FILES_MAX) {
		fprintf(stderr, "echoc: plot takes at most %d files\n", FILES_MAX);
		return EXIT_OTHER;
	}
	p.out = tmpfile();
	memory = open_memstream(&picture, &size);
	if (!p.out || !memory) {
		fprintf(stderr, "echoc: cannot begin to draw: %s\n", strerror(errno));
		return EXIT_OTHER;
	}
	r = put_script(&p) < 0 ? -1 : draw(p.out, memory);
	fclose(p.out);
	fclose(memory);
	r = r == 0 ? save(o, picture, size) : EXIT_OTHER;
	free(picture);
	return r;
}
