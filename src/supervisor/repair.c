/* SPDX-License-Identifier: MIT */
#include "supervisor/repair.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define DELAY_MS 1000
#define DELAY_MAX_MS 60000

static void log_failure(const struct listener *listener, const char *why, const char *what_now)
{
	char text[ADDRESS_TEXT];

	address_format(&listener->bound, text);
	log_event(EVENT_LISTENER_FAILED,
		  FIELDS(FIELD("ECHOD_ADDRESS", text), FIELD("ECHOD_ERROR", why)),
		  "the listener on %s failed: %s; %s", text, why, what_now);
}

/* True if there were any. */
static bool lose_ended(struct listeners *set, const struct conf *conf)
{
	bool lost = false;

	for (size_t i = set->n; i-- > 0;) {
		struct listener *listener = &set->at[i];

		if (listener->fd < 0 || listener_is_alive(listener))
			continue;
		log_failure(listener, "it was shut down by another process",
			    set->passed ? "restart the socket unit that passed it" :
					  "opening it again");
		listen_lose(set, i, conf);
		lost = true;
	}
	return lost;
}

/* True if there is one that could not be opened; whether any could, in *recovered. */
static bool recover(struct listeners *set, const struct conf *conf, bool *recovered)
{
	bool failed = false;

	for (size_t i = 0; i < set->n && !set->passed; i++) {
		if (set->at[i].fd >= 0)
			continue;
		if (listen_recover(set, i, conf) == 0)
			*recovered = true;
		else
			failed = true;
	}
	return failed;
}

/* Something is to be tried again: the later, the more often that was in vain. */
static void schedule(struct repair *r)
{
	int64_t now = clock_ms();

	if (now > r->last + 2 * r->delay)
		r->delay = DELAY_MS;
	else
		r->delay = 2 * r->delay < DELAY_MAX_MS ? 2 * r->delay : DELAY_MAX_MS;
	r->last = now;
	r->next = now + r->delay;
}

static void log_refusal(const struct listeners *set, int fd, int error)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->at[i].fd == fd)
			log_failure(&set->at[i], strerrordesc_np(error),
				    "clients wait in its queue, trying again soon");
}

bool repair_run(struct repair *r, struct listeners *set, const struct conf *conf, int fd, int error)
{
	bool lost = lose_ended(set, conf), recovered = false;
	bool again = error && !lost;

	if (again)
		log_refusal(set, fd, error);
	r->next = INT64_MAX;
	if (recover(set, conf, &recovered) || again)
		schedule(r);
	return lost || recovered || !error;
}
