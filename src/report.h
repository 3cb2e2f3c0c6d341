/*
 * report: all counters in one line.
 *
 * Main thread; it reads what the other threads count while they go on.
 */
#ifndef ECHOD_REPORT_H
#define ECHOD_REPORT_H

#include "acceptor.h"

/*
 * Returns the line, which is the caller's to free, or NULL without memory.
 * Its fields are documented in echod(8), SIGUSR1.
 */
char *report_counters(const struct acceptor *acceptor, const struct worker *workers, unsigned n);

#endif
