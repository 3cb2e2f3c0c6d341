#include "restart/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

void report_ready(unsigned workers, int64_t max_connections)
{
	struct log_record r;

	log_begin(&r, EVENT_READY);
	log_field(&r, "ECHOD_WORKERS", "%u", workers);
	log_field(&r, "ECHOD_MAX_CONNECTIONS", "%" PRId64, max_connections);
	log_end(&r, "ready: %u workers, at most %" PRId64 " connections", workers, max_connections);
}

void report_privileges(const char *which)
{
	if (which)
		log_warning("%s, which is not needed: another user will do, and "
			    "CAP_NET_BIND_SERVICE alone "
			    "for a port below 1024",
			    which);
}

void report_start_failed(int error)
{
	struct log_record r;

	log_begin(&r, EVENT_START_FAILED);
	log_errno(&r, error);
	log_end(&r, "cannot start: %s", strerrordesc_np(error));
}

void report_limited(int64_t wanted, int64_t max_connections, unsigned descriptors)
{
	struct log_record r;

	log_begin(&r, EVENT_CONNECTIONS_LIMITED);
	log_field(&r, "ECHOD_WANTED", "%" PRId64, wanted);
	log_field(&r, "ECHOD_MAX_CONNECTIONS", "%" PRId64, max_connections);
	log_field(&r, "ECHOD_DESCRIPTORS", "%u", descriptors);
	log_end(&r, "max_connections is %" PRId64 ", but %u descriptors allow only %" PRId64,
		wanted, descriptors, max_connections);
}

void report_kept(const char *option)
{
	struct log_record r;

	log_begin(&r, EVENT_OPTION_KEPT);
	log_field(&r, "ECHOD_OPTION", "%s", option);
	log_end(&r, "reload: %s stays as it is until a restart", option);
}

static void log_problem(const char *text)
{
	struct log_record r;

	log_begin(&r, EVENT_CONFIGURATION_REFUSED);
	log_field(&r, "ECHOD_ERROR", "%s", text);
	log_end(&r, "%s", text);
}

void report_configuration_refused(const struct problems *problems)
{
	for (unsigned i = 0; i < problems->n; i++)
		log_problem(problems->text[i]);
}

/* The first problem stands in the record of the reload, the others in their own. */
void report_reload_refused(const struct problems *problems)
{
	const char *why = problems ? problems->text[0] : NULL;
	struct log_record r;

	log_begin(&r, EVENT_RELOAD_REFUSED);
	log_field(&r, "ECHOD_ERROR", "%s", why ? why : "an address cannot be opened");
	log_end(&r, "reload refused, all stays as it was%s%s", why ? ": " : "", why ? why : "");
	for (unsigned i = 1; problems && i < problems->n; i++)
		log_problem(problems->text[i]);
}

void report_handing_over(uint64_t connections)
{
	struct log_record r;

	log_begin(&r, EVENT_HANDING_OVER);
	log_field(&r, "ECHOD_CONNECTIONS", "%" PRIu64, connections);
	log_end(&r, "handing over %" PRIu64 " connections", connections);
	log_flush(LOG_FLUSH_MS);
}

static void log_lost(uint32_t lost)
{
	struct log_record r;

	log_begin(&r, EVENT_CONNECTIONS_LOST);
	log_field(&r, "ECHOD_LOST", "%" PRIu32, lost);
	log_end(&r, "%" PRIu32 " connections were lost on the way", lost);
}

void report_not_handed_over(int error, uint32_t lost)
{
	struct log_record r;

	if (error == 0) {
		if (lost > 0)
			log_lost(lost);
		return;
	}
	log_begin(&r, EVENT_HAND_OVER_FAILED);
	log_field(&r, "ECHOD_LOST", "%" PRIu32, lost);
	log_errno(&r, -error);
	log_end(&r, "cannot hand over: %s%s; %" PRIu32 " connections are lost",
		strerrordesc_np(-error), error == -EFBIG ? " (by LimitFSIZE= or ulimit -f)" : "",
		lost);
}

void report_taken_over(uint32_t connections, int64_t silence)
{
	struct log_record r;

	log_begin(&r, EVENT_TAKEN_OVER);
	log_field(&r, "ECHOD_CONNECTIONS", "%" PRIu32, connections);
	log_field(&r, "ECHOD_MICROSECONDS", "%" PRId64, silence);
	log_end(&r, "took over %" PRIu32 " connections after %" PRId64 " us", connections, silence);
}

void report_not_taken_over(int error, uint32_t lost)
{
	const char *why = error == -EPROTONOSUPPORT ?
				  "their state is of a newer version, which this one cannot read" :
			  error == -EBADMSG ? "their state is damaged" :
					      strerrordesc_np(-error);
	struct log_record r;

	if (error == 0) {
		if (lost > 0)
			log_lost(lost);
		return;
	}
	log_begin(&r, EVENT_TAKE_OVER_FAILED);
	log_field(&r, "ECHOD_LOST", "%" PRIu32, lost);
	log_field(&r, "ECHOD_ERROR", "%s", why);
	log_end(&r, "cannot take over %" PRIu32 " connections: %s", lost, why);
}

void report_restart_unknown(int error)
{
	struct log_record r;

	log_begin(&r, EVENT_RESTART_UNKNOWN);
	log_errno(&r, error);
	log_end(&r, "cannot ask the service manager whether this is a restart: %s; connections end",
		strerrordesc_np(error));
}

void report_restarts_drop(int error)
{
	const char *why = error ? strerrordesc_np(error) : "FileDescriptorStoreMax= is 0";
	struct log_record r;

	log_begin(&r, EVENT_RESTARTS_DROP);
	log_field(&r, "ECHOD_ERROR", "%s", why);
	log_end(&r, "%s: %s; a restart will end all connections",
		error ? "cannot ask the service manager" :
			"the service manager stores no descriptors of this unit",
		why);
}

void report_stuck(const char *thread)
{
	struct log_record r;

	log_begin(&r, EVENT_THREAD_STUCK);
	log_field(&r, "ECHOD_THREAD", "%s", thread);
	log_end(&r, "watchdog: %s does not answer", thread);
}

struct report {
	struct log_record record;
	FILE *line;
};

static void put(struct report *r, const char *kind, const char *name, uint64_t value)
{
	char field[64];

	fprintf(r->line, " %s%s=%" PRIu64, kind, name, value);
	snprintf(field, sizeof(field), "ECHOD_%s%s", kind, name);
	log_field(&r->record, field, "%" PRIu64, value);
}

static uint64_t sum_closed(const struct worker *workers, unsigned n, enum closing reason)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += counter_get(&workers[i].clients.closed[reason]);
	return sum;
}

static void put_totals(struct report *r, const struct worker *workers, unsigned n)
{
	uint64_t accepted = 0, open = 0, received = 0, echoed = 0;

	for (unsigned i = 0; i < n; i++) {
		accepted += counter_get(&workers[i].accepted);
		open += worker_open(&workers[i]);
		received += counter_get(&workers[i].clients.received);
		echoed += counter_get(&workers[i].clients.echoed);
	}
	put(r, "", "accepted", accepted);
	put(r, "", "open", open);
	put(r, "", "received", received);
	put(r, "", "echoed", echoed);
}

static void put_all(struct report *r, const struct acceptor *acceptor, const struct worker *workers,
		    unsigned n)
{
	put_totals(r, workers, n);
	for (int i = 0; i < REFUSALS; i++)
		put(r, "refused_", refusal_name((enum refusal)i),
		    counter_get(&acceptor->refused[i]));
	for (int i = 0; i < CLOSINGS; i++)
		put(r, "closed_", closing_name((enum closing)i),
		    sum_closed(workers, n, (enum closing)i));
	put(r, "", "pauses", counter_get(&acceptor->pauses));
	for (unsigned i = 0; i < n; i++)
		fprintf(r->line, " %s=%" PRIu64 ",%" PRIu64 ",%" PRIu64, workers[i].name,
			worker_open(&workers[i]), counter_get(&workers[i].accepted),
			counter_get(&workers[i].clients.echoed));
}

void report_counters(enum event event, const struct acceptor *acceptor,
		     const struct worker *workers, unsigned n)
{
	struct report r;
	char *line = NULL;
	size_t size;

	log_begin(&r.record, event);
	r.line = open_memstream(&line, &size);
	if (r.line) {
		put_all(&r, acceptor, workers, n);
		if (fclose(r.line) != 0) {
			free(line);
			line = NULL;
		}
	}
	log_end(&r.record, "%scounters:%s", event == EVENT_STOPPED ? "stopped, " : "",
		line ? line : " no memory");
	free(line);
}
