#include "systemd/service.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "systemd/notify.h"

/* Between two tries to tell something. */
#define CATCH_UP_MS 100

bool service_is_managed(void)
{
	return getenv("NOTIFY_SOCKET") != NULL;
}

/* What is to be told, as assignments and the status, and has not been yet. */
static char state[128], status[256];
static bool owing;

void service_catch_up(void)
{
	if (!owing)
		return;
	owing = notify_tellf("%sSTATUS=%s", state, status) == -ETIMEDOUT;
	if (!owing)
		state[0] = '\0';
}

int service_wait(void)
{
	return owing ? CATCH_UP_MS : -1;
}

static void tell(const char *new_status, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Of a state that could not be told the latest one counts. */
static void tell(const char *new_status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(state, sizeof(state), fmt, ap);
	va_end(ap);
	if (new_status)
		snprintf(status, sizeof(status), "%s", new_status);
	owing = true;
	service_catch_up();
}

void service_ready(const char *new_status)
{
	tell(new_status, "READY=1\n");
}

void service_reloading(void)
{
	tell(NULL, "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n", clock_ns() / 1000);
}

void service_status(const char *new_status)
{
	snprintf(status, sizeof(status), "%s", new_status);
	owing = true; /* and a state that may be owed stays */
	service_catch_up();
}

/* A grace beyond what we need ourselves, for the threads to end and the log to be written. */
#define GRACE_MS 5000

void service_stopping(int64_t timeout_ms)
{
	tell("Stopping", "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRId64 "\n",
	     (timeout_ms + GRACE_MS) * 1000);
}

void service_failed(int error)
{
	char text[sizeof(status)];

	snprintf(text, sizeof(text), "Cannot start: %s", strerrordesc_np(-error));
	tell(text, "ERRNO=%d\n", -error);
}

int64_t service_watchdog_ms(void)
{
	uint64_t usec = 0;

	return sd_watchdog_enabled(0, &usec) > 0 ? (int64_t)(usec / 1000) : 0;
}

void service_alive(void)
{
	(void)notify_tell("WATCHDOG=1", -1, false); /* the next one will do */
}
