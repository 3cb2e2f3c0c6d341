/* SPDX-License-Identifier: MIT */
/*
 * A service manager at the other end of a bus of its own, which answers as it
 * is told.
 */
#include "systemd/job.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/clock.h"
#include "helper.h"

static int listener = -1;
static pthread_t thread;

/* The answers. */
static uint32_t store_max, job;
static const char *job_type;

/* A method or property that is answered by an error, with another type, or not at all. */
static const char *refused, *mistyped, *silent;

/* At this one the bus ends, and is there again for one more connection. */
static const char *fatal;

#define NONE UINT32_MAX

static bool is(const char *what, const char *name)
{
	return what && strcmp(what, name) == 0;
}

static int answer(sd_bus_message *m, const char *property)
{
	if (is(property, "FileDescriptorStoreMax"))
		return sd_bus_reply_method_return(m, "v", "u", store_max);
	if (is(property, "Job"))
		return sd_bus_reply_method_return(m, "v", "(uo)", job, "/job");
	return sd_bus_reply_method_return(m, "v", "s", job_type);
}

static int on_message(sd_bus_message *m, void *context, sd_bus_error *error)
{
	const char *interface, *what = sd_bus_message_get_member(m);

	(void)context;
	(void)error;
	if (!sd_bus_message_is_method_call(m, NULL, NULL)) /* the other end has left */
		return 0;
	if (is(what, "Hello"))
		return sd_bus_reply_method_return(m, "s", ":1.1");
	if (is(what, "Get") && sd_bus_message_read(m, "ss", &interface, &what) < 0)
		return -EBADMSG;
	if (is(silent, what))
		return 1;
	if (is(fatal, what)) {
		fatal = NULL;
		return -ECONNRESET;
	}
	if (is(refused, what))
		return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_ACCESS_DENIED, "no");
	if (is(mistyped, what))
		return sd_bus_reply_method_return(m, "v", "b", 1);
	if (is(what, "GetUnitByPID"))
		return sd_bus_reply_method_return(m, "o", "/unit");
	return answer(m, what);
}

static void serve_one(void)
{
	sd_bus *bus = NULL;
	int r, fd = accept(listener, NULL, NULL);

	if (fd < 0 || sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, fd, fd) < 0 ||
	    sd_bus_set_server(bus, 1,
			      SD_ID128_MAKE(01, 02, 03, 04, 05, 06, 07, 08, 09, 0a, 0b, 0c, 0d, 0e,
					    0f, 10)) < 0 ||
	    sd_bus_add_filter(bus, NULL, on_message, NULL) < 0 || sd_bus_start(bus) < 0)
		abort();
	do {
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, UINT64_MAX);
	} while (r >= 0);
	sd_bus_close_unref(bus);
}

static void *serve(void *arg)
{
	bool again = fatal != NULL;

	serve_one();
	if (again)
		serve_one();
	return arg;
}

static void open_bus(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char name[64];
	int n = snprintf(name, sizeof(name), "unix:abstract=echod-test-%d", (int)getpid());
	size_t size = (size_t)n - strlen("unix:abstract=");

	setenv("DBUS_SYSTEM_BUS_ADDRESS", name, 1);
	memcpy(address.sun_path + 1, name + strlen("unix:abstract="), size);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(listener, (struct sockaddr *)&address,
			  (socklen_t)(sizeof(sa_family_t) + 1 + size)),
		     0);
	cr_assert_eq(listen(listener, 0), 0);
}

/* A manager in the middle of a restart, for one connection. */
static void begin(void)
{
	unsetenv("MANAGERPID");
	open_bus();
	store_max = 100;
	job = 7;
	job_type = "restart";
}

/* Asks as main does.  Nothing but poll(2) waits. */
static int ask_bus(int64_t timeout_ms, bool persist)
{
	struct job m = { 0 };
	int answer;

	job_ask(&m, timeout_ms, persist);
	do {
		struct pollfd p;
		int64_t left = job_poll(&m, &p) - clock_ms();

		(void)poll(&p, 1, left > 0 ? (int)left : 0);
		answer = job_process(&m);
	} while (answer == JOB_ASKING);
	job_cancel(&m);
	return answer;
}

/* Asks the manager of begin(), which then ends. */
static int ask(void)
{
	bool persist = fatal != NULL;
	int r;

	cr_assert_eq(pthread_create(&thread, NULL, serve, NULL), 0);
	r = ask_bus(silent ? 100 : 1000 * HELPER_TIMEOUT, persist);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	return r;
}

TestSuite(job, .init = begin, .timeout = HELPER_TIMEOUT);

/* Each answer that a manager may give. */
TEST(job, answers)
{
	static const struct {
		const char *refused, *mistyped;
		const char *type;
		uint32_t job, store_max;
		int expected; /* INT_MIN: any error */
	} rows[] = {
		{ .type = "restart", .expected = JOB_RESTART },
		{ .type = "stop", .expected = JOB_OTHER },
		{ .job = NONE, .expected = JOB_OTHER }, /* as after kill(1) */
		{ .store_max = NONE, .expected = JOB_NO_STORE },
		{ .refused = "GetUnitByPID", .expected = -EACCES },
		{ .refused = "FileDescriptorStoreMax", .expected = -EACCES },
		{ .refused = "Job", .expected = -EACCES },
		{ .refused = "JobType", .expected = -EACCES },
		{ .mistyped = "GetUnitByPID", .expected = INT_MIN },
		{ .mistyped = "Job", .expected = INT_MIN },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		int r;

		job = rows[i].job == NONE ? 0 : 7;
		store_max = rows[i].store_max == NONE ? 0 : 100;
		job_type = rows[i].type ? rows[i].type : "restart";
		refused = rows[i].refused;
		mistyped = rows[i].mistyped;
		r = ask();
		cr_expect(r == rows[i].expected || (r < 0 && rows[i].expected == INT_MIN),
			  "row %zu: %d", i, r);
	}
}

/* It does not answer. */
TEST(job, silence)
{
	silent = "JobType";
	cr_assert_eq(ask(), -ETIMEDOUT);
}

/* The bus accepts, and says nothing at all. */
TEST(job, silent_bus)
{
	cr_assert_eq(ask_bus(100, true), -ETIMEDOUT);
}

/* It does not even accept: its queue is full, which can pass. */
TEST(job, full_bus)
{
	struct job waiting = { 0 };

	job_ask(&waiting, 60000, false);
	cr_assert_eq(job_process(&waiting), JOB_ASKING); /* the one that has room */
	cr_assert_eq(ask_bus(60000, false), -EAGAIN);
	cr_assert_eq(ask_bus(150, true), -EAGAIN);
	job_cancel(&waiting);
}

/* The bus is executed anew in the middle of an answer. */
TEST(job, passing_error)
{
	fatal = "JobType";
	cr_assert_eq(ask(), JOB_RESTART);
}

/* There is none, which is known at once. */
TEST(job, no_bus)
{
	setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:abstract=echod-test-none", 1);
	cr_assert_eq(ask_bus(INT32_MAX, true), -ECONNREFUSED);
}

/* A process that a user's manager runs asks that one. */
TEST(job, of_a_user)
{
	setenv("DBUS_SESSION_BUS_ADDRESS", getenv("DBUS_SYSTEM_BUS_ADDRESS"), 1);
	setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:abstract=echod-test-none", 1);
	setenv("MANAGERPID", "1", 1);
	cr_assert_eq(ask(), JOB_RESTART);
}

/* Nothing is waited for when nothing was asked, or the answer is known. */
TEST(job, nothing_asked)
{
	struct job m = { 0 };
	struct pollfd p;

	cr_assert_eq(job_poll(&m, &p), INT64_MAX);
	cr_assert_eq(p.fd, -1);
	cr_assert_eq(job_process(&m), JOB_ASKING);
	job_cancel(&m);
}
