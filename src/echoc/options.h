/* SPDX-License-Identifier: MIT */
/*
 * options: what echoc's command line asks for.
 */
#ifndef ECHOC_OPTIONS_H
#define ECHOC_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

#define OPTIONS_SOURCES 256

enum command { COMMAND_TALK, COMMAND_PING, COMMAND_LOAD };

/* Exit statuses. */
enum { EXIT_ALL_BACK = 0, EXIT_NOT_ALL_BACK = 1, EXIT_OTHER = 2 };

/* Times are in nanoseconds; 0 means "no limit" unless it says otherwise. */
struct options {
	enum command command;
	const char *target;
	int family;		 /* AF_UNSPEC, AF_INET, AF_INET6 */
	int64_t connect_timeout; /* never 0 */

	bool verify; /* talk: compare the content, too */

	uint64_t count;	  /* ping: how many; 0: until ^C */
	int64_t interval; /* ping: between two */
	int64_t deadline; /* ping: for all */

	size_t min_size, max_size; /* ping, load: bytes of a message */
	int64_t timeout;	   /* ping, load: a message not back by then is lost */
	uint64_t seed;
	bool quiet, json;

	unsigned connections, threads, pipeline; /* load */
	int64_t duration, ramp;
	uint64_t messages;
	int64_t warmup;
	bool reconnect;
	double rate; /* messages a second, all connections together; 0: no plan */
	bool churn;
	struct address sources[OPTIONS_SOURCES];
	size_t n_sources;
	const char *histogram; /* a file to write, or NULL */
};

/*
 * Reads the arguments; prints help, version and complaints.  Returns -1, or
 * the status to exit with.
 */
int options_parse(struct options *options, int argc, char *argv[]);

#endif
