/*
 * report: what main tells the log, and the fields of these records, see
 * event.c.
 *
 * Main thread, but for a hand-over; counters are read while the others go on.
 * Errors are positive errno.
 */
#ifndef ECHOD_REPORT_H
#define ECHOD_REPORT_H

#include "base/event.h"
#include "conf/problems.h"
#include "reactor/acceptor.h"

/* which: see privileges_needless(); NULL is not logged. */
void report_privileges(const char *which);

void report_ready(unsigned workers, int64_t max_connections);
void report_start_failed(int error);

/* The descriptors that we may have allow fewer connections than are wanted. */
void report_limited(int64_t wanted, int64_t max_connections, unsigned descriptors);

/* A reload cannot change this option. */
void report_kept(const char *option);

/* A record for each problem. */
void report_configuration_refused(const struct problems *problems);

/* problems may be NULL, if the log has the reason already. */
void report_reload_refused(const struct problems *problems);

/* A restart, on this side of it: before, and after if something went wrong (-errno). */
void report_handing_over(uint64_t connections);
void report_not_handed_over(int error, uint32_t lost);

/* And on the other side.  silence: microseconds without service, 0 if not known. */
void report_taken_over(uint32_t connections, int64_t silence);
void report_not_taken_over(int error, uint32_t lost);

/* Nobody could say whether this is a restart. */
void report_restart_unknown(int error);

/* A restart will end all connections: error, or 0 if the unit has no descriptor store. */
void report_restarts_drop(int error);

/* A thread does not answer, so the watchdog is not fed. */
void report_stuck(const char *thread);

/*
 * EVENT_COUNTERS or EVENT_STOPPED: all counters in one line and as fields, see
 * SIGUSR1 in echod(8).  Those of the workers are in the line only.
 */
void report_counters(enum event event, const struct acceptor *acceptor,
		     const struct worker *workers, unsigned n);

#endif
