/* SPDX-License-Identifier: MIT */
/*
 * Each reply leads to the next question: which unit are we, has it a file
 * descriptor store, which job has it, of which type is that.
 *
 * sd-bus connects, authenticates and says Hello while it processes (see
 * sd_bus_open_system(3)): only its functions that are called "call" without
 * "async", and those with "flush", wait.  Its own time limits, of 25 and 90
 * seconds, are longer than any of ours.
 */
#include "systemd/job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "base/clock.h"

#define SERVICE "org.freedesktop.systemd1"

/* Between two tries. */
#define AGAIN_MS 100

typedef int reader(struct job *job, sd_bus_message *reply);

static int on_reply(sd_bus_message *reply, void *context, sd_bus_error *ignored)
{
	struct job *job = context;
	int r = -sd_bus_message_get_errno(reply); /* 0 unless it is an error */

	(void)ignored;
	if (r == 0)
		r = job->read(job, reply);
	if (r < 0)
		job->answer = r;
	return 0;
}

static int get(struct job *job, const char *object, const char *interface, const char *property,
	       reader *read)
{
	job->read = read;
	return sd_bus_call_method_async(job->bus, NULL, SERVICE, object,
					"org.freedesktop.DBus.Properties", "Get", on_reply, job,
					"ss", interface, property);
}

static int read_type(struct job *job, sd_bus_message *reply)
{
	const char *type;
	int r = sd_bus_message_read(reply, "v", "s", &type);

	if (r >= 0)
		job->answer = strcmp(type, "restart") == 0 ? JOB_RESTART : JOB_OTHER;
	return r;
}

/* A unit without a job, as after kill(1), is not being restarted. */
static int read_job(struct job *job, sd_bus_message *reply)
{
	const char *path;
	uint32_t id;
	int r = sd_bus_message_read(reply, "v", "(uo)", &id, &path);

	if (r < 0)
		return r;
	if (id != 0)
		return get(job, path, SERVICE ".Job", "JobType", read_type);
	job->answer = JOB_OTHER;
	return 0;
}

static int read_store(struct job *job, sd_bus_message *reply)
{
	uint32_t max;
	int r = sd_bus_message_read(reply, "v", "u", &max);

	if (r < 0)
		return r;
	if (max > 0)
		return get(job, job->unit, SERVICE ".Unit", "Job", read_job);
	job->answer = JOB_NO_STORE;
	return 0;
}

static int read_unit(struct job *job, sd_bus_message *reply)
{
	const char *path;
	int r = sd_bus_message_read(reply, "o", &path);

	if (r < 0)
		return r;
	job->unit = strdup(path);
	if (!job->unit)
		return -ENOMEM;
	return get(job, path, SERVICE ".Service", "FileDescriptorStoreMax", read_store);
}

static void disconnect(struct job *job)
{
	sd_bus_close_unref(job->bus);
	job->bus = NULL;
	free(job->unit);
	job->unit = NULL;
}

/* Connects, and asks the first question.  Negative if that is not possible. */
static int begin(struct job *job)
{
	int r = getenv("MANAGERPID") ? sd_bus_open_user(&job->bus) : sd_bus_open_system(&job->bus);

	if (r == -ENOENT || r == -ECONNREFUSED)
		job->persist = false; /* there is no bus, which seldom passes */
	if (r < 0)
		return r;
	job->read = read_unit;
	return sd_bus_call_method_async(job->bus, NULL, SERVICE, "/org/freedesktop/systemd1",
					SERVICE ".Manager", "GetUnitByPID", on_reply, job, "u", 0);
}

static bool is_asking(const struct job *job)
{
	return job->deadline != 0 && job->answer == JOB_ASKING;
}

void job_ask(struct job *job, int64_t timeout_ms, bool persist)
{
	job_cancel(job);
	job->error = -ETIMEDOUT;
	job->persist = persist;
	job->again = clock_ms();
	job->deadline = job->again + timeout_ms;
}

int64_t job_poll(const struct job *job, struct pollfd *p)
{
	*p = (struct pollfd){ .fd = -1 };
	if (!is_asking(job))
		return INT64_MAX;
	if (!job->bus)
		return job->again;
	p->fd = sd_bus_get_fd(job->bus);
	p->events = (short)sd_bus_get_events(job->bus);
	return job->deadline;
}

/* Connects or goes on: all that can be done now.  Negative if that has failed. */
static int advance(struct job *job)
{
	int r = 0;

	if (!job->bus && clock_ms() < job->again)
		return 0;
	if (!job->bus)
		r = begin(job);
	if (r < 0)
		return r;
	do
		r = sd_bus_process(job->bus, NULL);
	while (r > 0 && is_asking(job));
	return r;
}

int job_process(struct job *job)
{
	int r;

	if (!is_asking(job))
		return job->answer;
	r = advance(job);
	if (is_asking(job) && r < 0)
		job->answer = r;
	else if (is_asking(job) && clock_ms() >= job->deadline)
		job->answer = job->error;
	if (is_asking(job))
		return JOB_ASKING;
	disconnect(job);
	if (job->answer < 0 && job->persist && clock_ms() + AGAIN_MS < job->deadline) {
		job->error = job->answer;
		job->answer = JOB_ASKING;
		job->again = clock_ms() + AGAIN_MS;
	}
	return job->answer;
}

void job_cancel(struct job *job)
{
	disconnect(job);
	memset(job, 0, sizeof(*job));
}
