/* SPDX-License-Identifier: MIT */
/*
 * report: the record of all counters, see COUNTERS in echod(8).
 *
 * Main thread; the counters are read while the other threads go on.
 */
#ifndef ECHOD_REPORT_H
#define ECHOD_REPORT_H

#include "base/event.h"
#include "reactor/reactor.h"

/* Logs an event with all counters behind the title, and, but for the workers' own, as fields. */
void report_counters(struct event event, const char *title, const struct reactor *reactor);

#endif
