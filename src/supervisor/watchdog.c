/* SPDX-License-Identifier: MIT */
#include "supervisor/watchdog.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "systemd/notify.h"

/* The status is sent no more often, and is looked at so often without a watchdog. */
#define STATUS_INTERVAL_MS 5000

void watchdog_start(struct watchdog *w, struct reactor *r)
{
	int64_t timeout = notify_watchdog_ms();

	memset(w, 0, sizeof(*w));
	w->fed = timeout > 0;
	w->interval = !w->fed ? STATUS_INTERVAL_MS : timeout / 4 > 0 ? timeout / 4 : 1;
	w->next = w->fed || notify_is_managed() ? clock_ms() + w->interval : INT64_MAX;
	if (w->fed)
		reactor_ask(r);
}

/* Returns false if a thread is stuck, and logs it once. */
static bool all_answered(struct watchdog *w, const struct reactor *r)
{
	unsigned i = 0;
	const char *name = reactor_unanswered(r, &i);
	bool all = !name;

	for (; name && !w->complaining; name = reactor_unanswered(r, &i))
		log_event(EVENT_THREAD_STUCK, FIELDS(FIELD("ECHOD_THREAD", name)),
			  "watchdog: %s does not answer", name);
	w->complaining = !all;
	return all;
}

static void format(const struct watchdog *w, const struct reactor *r, char *text, size_t size)
{
	uint64_t refused = 0;

	for (int i = 0; i < REFUSALS; i++)
		refused += counter_get(&r->acceptor.refused[i]);
	snprintf(text, size, "Connections: %" PRIu64 ", refused: %" PRIu64 "%s%s", reactor_open(r),
		 refused, w->remark ? "; " : "", w->remark ? w->remark : "");
}

const char *watchdog_status(struct watchdog *w, const struct reactor *r, const char *remark)
{
	w->remark = remark;
	w->told = clock_ms();
	format(w, r, w->status, sizeof(w->status));
	return w->status;
}

/* Sends the status if it has changed. */
static void update_status(struct watchdog *w, const struct reactor *r)
{
	char text[sizeof(w->status)];

	format(w, r, text, sizeof(text));
	if (clock_ms() - w->told >= STATUS_INTERVAL_MS && strcmp(text, w->status) != 0)
		notify_status(watchdog_status(w, r, w->remark));
}

void watchdog_beat(struct watchdog *w, struct reactor *r)
{
	if (clock_ms() < w->next)
		return;
	w->next = clock_ms() + w->interval;
	if (w->fed && all_answered(w, r)) {
		notify_watchdog();
		reactor_ask(r);
	}
	update_status(w, r);
}
