/* SPDX-License-Identifier: MIT */
#include "echoc/record.h"

#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"

/* clang-format off */
#define COUNT(member) { #member, offsetof(struct tally, member) }
/* clang-format on */

static const struct {
	const char *name;
	size_t offset;
} counts[] = {
	{ "connections_made", offsetof(struct tally, connections) },
	COUNT(connect_failures),
	COUNT(resets),
	COUNT(early_closes),
	COUNT(messages_due),
	COUNT(messages_sent),
	COUNT(messages_verified),
	COUNT(corrupt),
	COUNT(lost),
	COUNT(unsent),
	COUNT(in_flight),
	COUNT(bytes_sent),
	COUNT(bytes_verified),
};

static void set(json_t *object, const char *name, json_t *value)
{
	json_object_set_new(object, name, value);
}

/* Prints an object and frees it. */
static void put(json_t *o, size_t flags)
{
	json_dumpf(o, stdout, flags | JSON_REAL_PRECISION(12));
	json_decref(o);
	putchar('\n');
	(void)fflush(stdout);
}

static json_t *seconds(int64_t ns)
{
	return json_real((double)ns / 1e9);
}

static json_t *us_of(const struct histogram *h, double ns)
{
	return counter_get(&h->total) ? json_real(ns / 1e3) : json_null();
}

static json_t *times(const struct histogram *h, const struct options *o)
{
	json_t *t = json_object();

	set(t, "min", us_of(h, (double)counter_get(&h->min)));
	set(t, "mean", us_of(h, histogram_mean(h)));
	set(t, "stddev", us_of(h, histogram_deviation(h)));
	for (size_t i = 0; i < o->n_percentiles; i++) {
		double percent = o->percentiles[i];
		char name[24];

		snprintf(name, sizeof(name), "p%.10g", percent);
		set(t, name,
		    run_knows(h, percent) ? us_of(h, (double)histogram_quantile(h, percent / 100)) :
					    json_null());
	}
	set(t, "max", us_of(h, (double)counter_get(&h->max)));
	return t;
}

static json_t *integer(uint64_t number)
{
	return number <= INT64_MAX ? json_integer((json_int_t)number) : json_real((double)number);
}

static json_t *sizes(const struct options *o)
{
	return json_pack("[I, I]", (json_int_t)o->min_size, (json_int_t)o->max_size);
}

static json_t *percentiles(const struct options *o)
{
	json_t *array = json_array();

	for (size_t i = 0; i < o->n_percentiles; i++)
		json_array_append_new(array, json_real(o->percentiles[i]));
	return array;
}

static json_t *text(const char *text)
{
	return text ? json_string(text) : json_null();
}

/* How a value of each kind of options.def is written; NULL: not at all. */
#define FLAG_VALUE(member, least) json_boolean(o->member)
#define FAMILY_VALUE(member, least) json_boolean(o->member == (least))
#define NUMBER_VALUE(member, least) integer(o->member)
#define UNSIGNED_VALUE(member, least) integer(o->member)
#define TIME_VALUE(member, least) seconds(o->member)
#define RATE_VALUE(member, least) json_real(o->member)
#define SIZES_VALUE(member, least) sizes(o)
#define SOURCES_VALUE(member, least) integer(o->n_sources)
#define PERCENTILES_VALUE(member, least) percentiles(o)
#define OBJECTIVE_VALUE(member, least) seconds(o->member.time)
#define TEXT_VALUE(member, least) text(o->member)
#define SHOW_HELP_VALUE(member, least) NULL
#define SHOW_VERSION_VALUE(member, least) NULL

/* The options of the command, by their names. */
static json_t *parameters(const struct options *o)
{
	enum {
		TALK = 1 << COMMAND_TALK,
		PING = 1 << COMMAND_PING,
		LOAD = 1 << COMMAND_LOAD,
		COMPARE = 1 << COMMAND_COMPARE,
		PLOT = 1 << COMMAND_PLOT
	};
	json_t *p = json_object();

#define COMMAND(...)
#define OPTION(letter, name, commands, kind, member, least, most, preset, argument, text) \
	if ((commands)&1 << o->command)                                                   \
		set(p, name, kind##_VALUE(member, least));
#include "echoc/options.def"
	return p;
}

/* What is known at the start. */
static json_t *header(const struct run *r)
{
	const struct options *o = r->options;
	char date[32];
	struct tm tm;

	gmtime_r(&r->date.tv_sec, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:i, s:o}", "schema_version", RECORD_SCHEMA,
			 "version", PACKAGE_VERSION, "command",
			 o->command == COMMAND_PING ? "ping" : "load", "target", r->target, "date",
			 date, "connections", o->command == COMMAND_PING ? 1 : (int)o->connections,
			 "parameters", parameters(o));
}

static json_t *errors(const struct tally *t)
{
	json_t *o = json_object();

	for (int i = 0; i < TALLY_ERRORS; i++)
		if (counter_get(&t->errors[i]))
			set(o, i ? strerrorname_np(i) : "EUNKNOWN",
			    integer(counter_get(&t->errors[i])));
	return o;
}

/* Adds what was counted in a duration, with answers in the time that answered. */
static void add_counts(json_t *o, const struct run *r, const struct tally *t, double duration,
		       double answered)
{
	double loss = run_loss(t);

	set(o, "duration_s", json_real(duration));
	set(o, "answered_s", json_real(answered));
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		const counter *c = (const counter *)((const char *)t + counts[i].offset);

		set(o, counts[i].name, integer(counter_get(c)));
	}
	set(o, "errors", errors(t));
	set(o, "loss_percent", isfinite(loss) ? json_real(loss) : json_null());
	set(o, "offered_rate", json_real(run_rate(counter_get(&t->messages_due), duration)));
	set(o, "achieved_rate", json_real(run_rate(counter_get(&t->messages_verified), answered)));
	set(o, "verified_mb_s",
	    json_real(run_rate(counter_get(&t->bytes_verified), answered) / 1e6));
	set(o, "latency_us", times(&t->latency, r->options));
	set(o, "connect_us", times(&t->connect, r->options));
}

static json_t *outages(const struct run *r)
{
	const struct outages *all = r->outages;
	json_t *list = json_array();

	for (unsigned i = 0; i < all->n && i < OUTAGES_MAX; i++) {
		const struct outage *one = &all->at[i];
		struct span span = run_outage(r, one);

		json_array_append_new(
			list,
			json_pack("{s:o, s:o, s:i, s:I}", "start_s", seconds(span.start),
				  "length_s", span.length < 0 ? json_null() : seconds(span.length),
				  "connections_lost", (int)one->connections, "messages_lost",
				  (json_int_t)one->lost));
	}
	return list;
}

static void add_end(json_t *o, const struct run *r, const struct tally *t)
{
	set(o, "status", json_integer(run_status(r, t)));
	set(o, "outages", outages(r));
	add_counts(o, r, t, r->duration, r->answered);
}

void record_result(const struct run *r, const struct tally *t)
{
	json_t *o = header(r);

	add_end(o, r, t);
	put(o, JSON_INDENT(2));
}

void record_start(const struct run *r)
{
	json_t *o = json_pack("{s:s}", "type", "start"), *rest = header(r);

	json_object_update(o, rest);
	json_decref(rest);
	put(o, 0);
}

void record_interval(const struct run *r, const struct tally *change, double duration, int64_t now,
		     unsigned open)
{
	json_t *o = json_pack("{s:s, s:o, s:i}", "type", "interval", "time_s",
			      seconds(now - r->start), "connections_open", (int)open);

	add_counts(o, r, change, duration, duration);
	put(o, 0);
}

void record_reply(const struct run *r, uint64_t sequence, size_t size, int64_t latency,
		  bool verified)
{
	put(json_pack("{s:s, s:o, s:I, s:I, s:f, s:b}", "type", "reply", "time_s",
		      seconds(clock_ns() - r->start), "sequence", (json_int_t)sequence, "bytes",
		      (json_int_t)size, "latency_us", (double)latency / 1e3, "verified", verified),
	    0);
}

void record_end(const struct run *r, const struct tally *t)
{
	json_t *o = json_pack("{s:s}", "type", "end");

	add_end(o, r, t);
	put(o, 0);
}
