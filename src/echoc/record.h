/* SPDX-License-Identifier: MIT */
/*
 * record: results as JSON on standard output, see JSON in echoc(1).
 *
 * Errors of the output are left to ferror(3).
 */
#ifndef ECHOC_RECORD_H
#define ECHOC_RECORD_H

#include "echoc/run.h"

/* Of the schema; it changes when a program that reads the output must. */
#define RECORD_SCHEMA 2

/* --json: the one object. */
void record_result(const struct run *r, const struct tally *tally);

/* --json-stream: objects of a line each. */
void record_start(const struct run *r);
void record_interval(const struct run *r, const struct tally *change, double seconds, int64_t now,
		     unsigned open);
void record_reply(const struct run *r, uint64_t sequence, size_t size, int64_t latency,
		  bool verified);
void record_end(const struct run *r, const struct tally *tally);

#endif
