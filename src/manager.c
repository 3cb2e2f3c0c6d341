#include "manager.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#define SERVICE "org.freedesktop.systemd1"
#define TIMEOUT_USEC 250000 /* for each of the four questions */

/* The object path of our own unit, the caller's to free; or -errno. */
static int get_unit(sd_bus *bus, char **path)
{
	sd_bus_message *reply = NULL;
	const char *text;
	int r;

	r = sd_bus_call_method(bus, SERVICE, "/org/freedesktop/systemd1", SERVICE ".Manager",
			       "GetUnitByPID", NULL, &reply, "u", 0);
	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &text);
	if (r >= 0) {
		*path = strdup(text);
		r = *path ? 0 : -ENOMEM;
	}
	sd_bus_message_unref(reply);
	return r;
}

static int has_store(sd_bus *bus, const char *unit)
{
	uint32_t max;
	int r = sd_bus_get_property_trivial(bus, SERVICE, unit, SERVICE ".Service",
					    "FileDescriptorStoreMax", NULL, 'u', &max);

	return r < 0 ? r : max > 0;
}

/* 1 if the job of that path is a restart. */
static int job_is_restart(sd_bus *bus, const char *job)
{
	char *type = NULL;
	int r = sd_bus_get_property_string(bus, SERVICE, job, SERVICE ".Job", "JobType", NULL,
					   &type);

	if (r >= 0)
		r = strcmp(type, "restart") == 0;
	free(type);
	return r;
}

/* A unit without a job, as after kill(1), is not being restarted. */
static int is_restarting(sd_bus *bus, const char *unit)
{
	sd_bus_message *reply = NULL;
	const char *job;
	uint32_t id;
	int r = sd_bus_get_property(bus, SERVICE, unit, SERVICE ".Unit", "Job", NULL, &reply,
				    "(uo)");

	if (r >= 0)
		r = sd_bus_message_read(reply, "(uo)", &id, &job);
	if (r >= 0)
		r = id == 0 ? 0 : job_is_restart(bus, job);
	sd_bus_message_unref(reply);
	return r;
}

int manager_is_restarting(void)
{
	sd_bus *bus = NULL;
	char *unit = NULL;
	int r = sd_bus_open_system(&bus);

	if (r >= 0)
		r = sd_bus_set_method_call_timeout(bus, TIMEOUT_USEC);
	if (r >= 0)
		r = get_unit(bus, &unit);
	if (r >= 0)
		r = has_store(bus, unit);
	if (r > 0)
		r = is_restarting(bus, unit);
	free(unit);
	sd_bus_flush_close_unref(bus);
	return r;
}
