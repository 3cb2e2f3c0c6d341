#include "supervisor/pulse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "systemd/notify.h"

/* The status is told no more often, and so is looked at without a watchdog. */
#define STATUS_INTERVAL_MS 5000

void pulse_start(struct pulse *p, struct reactor *r)
{
	int64_t watchdog = notify_watchdog_ms();

	memset(p, 0, sizeof(*p));
	p->watched = watchdog > 0;
	if (p->watched)
		p->beat = watchdog / 4 > 0 ? watchdog / 4 : 1;
	else if (notify_is_managed())
		p->beat = STATUS_INTERVAL_MS;
	p->next = clock_ms() + p->beat;
	if (p->watched)
		reactor_ask(r);
}

int pulse_wait(const struct pulse *p)
{
	int64_t left = p->next - clock_ms();

	if (!p->beat)
		return -1;
	return left > 0 ? (int)left : 0;
}

/* Returns false if someone is stuck, and says so once. */
static bool all_answered(struct pulse *p, const struct reactor *r)
{
	unsigned i = 0;
	const char *name = reactor_unanswered(r, &i);
	bool all = !name;

	for (; name && !p->complaining; name = reactor_unanswered(r, &i))
		log_event(EVENT_THREAD_STUCK, FIELDS(FIELD("ECHOD_THREAD", name)),
			  "watchdog: %s does not answer", name);
	p->complaining = !all;
	return all;
}

static void count(const struct reactor *r, uint64_t *open, uint64_t *refused)
{
	*open = reactor_open(r);
	*refused = 0;
	for (int i = 0; i < REFUSALS; i++)
		*refused += counter_get(&r->acceptor.refused[i]);
}

const char *pulse_status(struct pulse *p, const struct reactor *r, char *text, size_t size)
{
	count(r, &p->open, &p->refused);
	p->told = clock_ms();
	snprintf(text, size, "Connections: %" PRIu64 ", refused: %" PRIu64 "%s%s", p->open,
		 p->refused, p->remark ? "; " : "", p->remark ? p->remark : "");
	return text;
}

static void tell_status(struct pulse *p, const struct reactor *r)
{
	uint64_t open, refused;
	char text[128];

	count(r, &open, &refused);
	if (clock_ms() - p->told >= STATUS_INTERVAL_MS &&
	    (open != p->open || refused != p->refused))
		notify_status(pulse_status(p, r, text, sizeof(text)));
}

void pulse_beat(struct pulse *p, struct reactor *r)
{
	if (!p->beat || clock_ms() < p->next)
		return;
	p->next = clock_ms() + p->beat;
	if (p->watched && all_answered(p, r)) {
		notify_watchdog();
		reactor_ask(r);
	}
	tell_status(p, r);
}
