#include "service.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "clock.h"
#include "notify.h"

bool service_is_managed(void)
{
	return getenv("NOTIFY_SOCKET") != NULL;
}

void service_ready(const char *status)
{
	notify_tellf("READY=1\nSTATUS=%s", status);
}

void service_reloading(void)
{
	notify_tellf("RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_ns() / 1000);
}

void service_status(const char *status)
{
	notify_tellf("STATUS=%s", status);
}

/* A grace beyond what we need ourselves, for the threads to end and the log to be written. */
#define GRACE_MS 5000

void service_stopping(int64_t timeout_ms)
{
	notify_tellf("STOPPING=1\nSTATUS=Stopping\nEXTEND_TIMEOUT_USEC=%" PRId64,
		     (timeout_ms + GRACE_MS) * 1000);
}

void service_failed(int error)
{
	notify_tellf("ERRNO=%d\nSTATUS=Cannot start: %s", -error, strerrordesc_np(-error));
}

int64_t service_watchdog_ms(void)
{
	uint64_t usec = 0;

	return sd_watchdog_enabled(0, &usec) > 0 ? (int64_t)(usec / 1000) : 0;
}

void service_alive(void)
{
	notify_tell("WATCHDOG=1", -1);
}
