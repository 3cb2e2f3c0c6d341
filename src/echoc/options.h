/* SPDX-License-Identifier: MIT */
/*
 * options: what echoc's command line asks for.
 *
 * options.def has a row for each.
 */
#ifndef ECHOC_OPTIONS_H
#define ECHOC_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "echoc/argument.h"

#define OPTIONS_SOURCES 256
#define OPTIONS_PERCENTILES 16

enum command { COMMAND_TALK, COMMAND_PING, COMMAND_LOAD, COMMAND_COMPARE, COMMAND_PLOT };

/* Exit statuses. */
enum { EXIT_ALL_BACK = 0, EXIT_NOT_ALL_BACK = 1, EXIT_OTHER = 2 };

/* Times are in nanoseconds; 0 means "no limit" unless it says otherwise. */
struct options {
	enum command command;
	const char *target;
	int family;		 /* AF_UNSPEC, AF_INET, AF_INET6 */
	int64_t connect_timeout; /* never 0 */
	int64_t timeout;	 /* a message not back by then is lost; talk: silence at the end */

	bool verify; /* talk: compare the content, too */

	uint64_t count;	  /* ping: how many; 0: until ^C */
	int64_t interval; /* ping: between two */
	int64_t deadline; /* ping: for all */
	bool time_stamps; /* ping: before each line */
	bool outstanding; /* ping: a line for what is not back when the next is due */

	size_t min_size, max_size; /* ping, load: bytes of a message */
	uint64_t seed;
	bool quiet, json, json_stream;
	int64_t warmup; /* left out of the result; 0: nothing */
	bool reconnect;
	int64_t max_outage;
	double percentiles[OPTIONS_PERCENTILES]; /* in percent, rising, at least one */
	size_t n_percentiles;
	struct address sources[OPTIONS_SOURCES];
	size_t n_sources;

	unsigned connections, threads, pipeline; /* load */
	int64_t duration, ramp;
	uint64_t messages;
	double rate;		 /* messages a second, all connections together; 0: no plan */
	struct objective find;	 /* its time is 0 if no rate is to be found */
	int64_t report_interval; /* 0: as if it were not given */
	bool churn;
	const char *histogram, *hlog; /* files to write, or NULL */

	char **files; /* compare, plot: to read */
	size_t n_files;
	const char *output; /* plot: to write, or NULL */
};

/*
 * Reads the arguments; prints help, version and complaints.  Returns -1, or
 * the status to exit with.
 */
int options_parse(struct options *options, int argc, char *argv[]);

#endif
