/*
 * Each answer leads to the next question: which unit are we, has it a
 * descriptor store, which job has it, of which type is that.
 *
 * sd-bus connects, authenticates and says Hello while it processes (see
 * sd_bus_open_system(3)): only its functions that are called "call" without
 * "async", and those with "flush", wait.  Its own time limits, of 25 and 90
 * seconds, are longer than any of ours.
 */
#include "systemd/manager.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "base/clock.h"

#define SERVICE "org.freedesktop.systemd1"

/* Between two tries. */
#define AGAIN_MS 100

/* The answer's reader: 0, or -errno if it is none, or the next question cannot be sent. */
typedef int reader(struct manager *m, sd_bus_message *reply);

static int on_reply(struct manager *m, sd_bus_message *reply, reader *read)
{
	int r = -sd_bus_message_get_errno(reply); /* 0 unless it is an error */

	if (r == 0)
		r = read(m, reply);
	if (r < 0)
		m->answer = r;
	return 0;
}

/* A callback of sd-bus that has its answer read by read_NAME(). */
#define ON_REPLY(name)                                                              \
	static int on_##name(sd_bus_message *reply, void *m, sd_bus_error *ignored) \
	{                                                                           \
		(void)ignored;                                                      \
		return on_reply(m, reply, read_##name);                             \
	}

static int get(struct manager *m, const char *object, const char *interface, const char *property,
	       sd_bus_message_handler_t on_answer)
{
	return sd_bus_call_method_async(m->bus, NULL, SERVICE, object,
					"org.freedesktop.DBus.Properties", "Get", on_answer, m,
					"ss", interface, property);
}

static int read_type(struct manager *m, sd_bus_message *reply)
{
	const char *type;
	int r = sd_bus_message_read(reply, "v", "s", &type);

	if (r < 0)
		return r;
	m->answer = strcmp(type, "restart") == 0 ? MANAGER_RESTART : MANAGER_NO_RESTART;
	return 0;
}

ON_REPLY(type)

/* A unit without a job, as after kill(1), is not being restarted. */
static int read_job(struct manager *m, sd_bus_message *reply)
{
	const char *job;
	uint32_t id;
	int r = sd_bus_message_read(reply, "v", "(uo)", &id, &job);

	if (r < 0)
		return r;
	if (id != 0)
		return get(m, job, SERVICE ".Job", "JobType", on_type);
	m->answer = MANAGER_NO_RESTART;
	return 0;
}

ON_REPLY(job)

static int read_store(struct manager *m, sd_bus_message *reply)
{
	uint32_t max;
	int r = sd_bus_message_read(reply, "v", "u", &max);

	if (r < 0)
		return r;
	if (max > 0)
		return get(m, m->unit, SERVICE ".Unit", "Job", on_job);
	m->answer = MANAGER_NO_STORE;
	return 0;
}

ON_REPLY(store)

static int read_unit(struct manager *m, sd_bus_message *reply)
{
	const char *path;
	int r = sd_bus_message_read(reply, "o", &path);

	if (r < 0)
		return r;
	m->unit = strdup(path);
	return m->unit ? get(m, path, SERVICE ".Service", "FileDescriptorStoreMax", on_store) :
			 -ENOMEM;
}

ON_REPLY(unit)

static bool is_open(const struct manager *m)
{
	return m->deadline != 0 && m->answer == MANAGER_ASKING;
}

static void disconnect(struct manager *m)
{
	sd_bus_close_unref(m->bus);
	m->bus = NULL;
	free(m->unit);
	m->unit = NULL;
}

/* Begins a try. */
static void begin(struct manager *m)
{
	int r = getenv("MANAGERPID") ? sd_bus_open_user(&m->bus) : sd_bus_open_system(&m->bus);

	if (r == -ENOENT || r == -ECONNREFUSED)
		m->persist = false; /* there is no bus, which seldom passes */
	if (r >= 0)
		r = sd_bus_call_method_async(m->bus, NULL, SERVICE, "/org/freedesktop/systemd1",
					     SERVICE ".Manager", "GetUnitByPID", on_unit, m, "u",
					     0);
	if (r < 0)
		m->answer = r;
}

void manager_ask(struct manager *m, int64_t timeout_ms, bool persist)
{
	manager_cancel(m);
	m->answer = MANAGER_ASKING;
	m->error = -ETIMEDOUT;
	m->persist = persist;
	m->again = clock_ms();
	m->deadline = m->again + timeout_ms;
}

/* In milliseconds, rounded up; -1: it is not due at all. */
static int64_t wait_for_bus(sd_bus *bus)
{
	uint64_t due;
	int64_t left;

	if (sd_bus_get_timeout(bus, &due) < 0 || due == UINT64_MAX)
		return INT64_MAX;
	left = (int64_t)due - clock_ns() / 1000;
	return left > 0 ? left / 1000 + 1 : 0;
}

int manager_poll(const struct manager *m, struct pollfd *p)
{
	int64_t now = clock_ms(), left = m->deadline - now, due;

	*p = (struct pollfd){ .fd = -1 };
	if (!is_open(m))
		return -1;
	if (m->bus) {
		int events = sd_bus_get_events(m->bus);

		p->fd = sd_bus_get_fd(m->bus);
		p->events = (short)(events < 0 ? 0 : events);
		due = p->fd < 0 || events < 0 ? 0 : wait_for_bus(m->bus);
	} else {
		due = m->again - now;
	}
	if (due < left)
		left = due;
	return left > 0 ? (int)left : 0;
}

static bool is_to_be_asked_again(const struct manager *m)
{
	return m->answer < 0 && m->persist && clock_ms() < m->deadline;
}

int manager_process(struct manager *m)
{
	if (!is_open(m))
		return m->answer;
	if (m->bus) {
		int r = sd_bus_process(m->bus, NULL);

		if (r < 0 && m->answer == MANAGER_ASKING)
			m->answer = r;
	} else if (clock_ms() >= m->again) {
		begin(m);
	}
	if (m->answer == MANAGER_ASKING && clock_ms() >= m->deadline)
		m->answer = m->error;
	if (m->answer == MANAGER_ASKING)
		return m->answer;
	disconnect(m);
	if (is_to_be_asked_again(m)) {
		m->error = m->answer;
		m->answer = MANAGER_ASKING;
		m->again = clock_ms() + AGAIN_MS;
	}
	return m->answer;
}

void manager_cancel(struct manager *m)
{
	disconnect(m);
	memset(m, 0, sizeof(*m));
}
