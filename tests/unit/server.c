/* SPDX-License-Identifier: MIT */
/*
 * A daemon in this process, at whose start, end or restart one call fails, each
 * in its turn, until none is left.
 */
#include "supervisor/server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/process.h"
#include "failing.h"
#include "helper.h"
#include "restart/fdpass.h"
#include "restart/takeover.h"
#include "supervisor/cmdline.h"
#include "systemd/job.h"

#define CLIENTS 3

/* The test goes on after the server, and shall not be left with its system calls. */
static const char *overrides[] = {
	"listen=127.0.0.1:0",	    "workers=2",	 "max_connections_per_source=100",
	"send_buffer=8192",	    "tcp_keepalive=100", "buffer_size=4096",
	"system_call_filter=false",
};
static const struct server_options options = {
	.source = { .overrides = overrides, .n_overrides = sizeof(overrides) / sizeof(*overrides) },
};
static struct conf conf;

static void begin(void)
{
	struct problems problems;

	process_block_signals();
	cr_assert_eq(conf_load(&conf, &options.source, &problems), 0, "%s", problems.text[0]);
	helper_catch(STDERR_FILENO);
}

TestSuite(server, .init = begin, .timeout = HELPER_TIMEOUT);

/* A life that is over soon: its signals wait for it. */
static void run(void)
{
	kill(getpid(), SIGHUP);
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGTERM);
	cr_assert_eq(server_run(), EX_OK);
}

/* A start either succeeds or says why not, and nothing is left behind in any case. */
static void live_failing(void)
{
	unsigned before = helper_count_descriptors();
	bool failed = true;

	for (unsigned nth = 1; failed; nth++) {
		const char *log;
		int status;

		failing_begin(nth);
		status = server_start(&conf, &options);
		if (status == 0)
			run();
		failed = failing_end();
		log = helper_caught();
		cr_assert(status == 0 || (failed && strstr(log, "cannot")), "call %u: %d %s", nth,
			  status, log);
		cr_assert_eq(helper_count_descriptors(), before, "call %u: %s", nth, log);
	}
}

/* Start, reload, report and stop. [F33] */
TEST(server, life)
{
	live_failing();
}

/* The same with a thread more. */
TEST(server, life_with_a_watchdog)
{
	setenv("WATCHDOG_USEC", "3600000000", 1);
	live_failing();
}

/* A configuration is loaded, or said to be wrong; and no file stays open. */
TEST(server, configuration)
{
	static const char file[] = "# a comment\nlisten = {\"127.0.0.1:7\"}\n";
	int fd = helper_memory_file(file, strlen(file));
	struct conf_source source = options.source;
	unsigned before = helper_count_descriptors();
	bool failed = true;

	source.path = helper_path(fd);
	for (unsigned nth = 1; failed; nth++) {
		struct problems problems;
		int r;

		failing_begin(nth);
		r = conf_load(&conf, &source, &problems);
		failed = failing_end();
		cr_assert(r == 0 || (failed && *problems.text[0]), "call %u: %d", nth, r);
		cr_assert_eq(helper_count_descriptors(), before, "call %u", nth);
	}
}

/* What comes before a configuration can fail too. */
TEST(server, beginning)
{
	char name[] = "echod", *argv[] = { name, NULL };
	struct cmdline cmdline;

	failing_begin(1);
	cr_assert_eq(cmdline_parse(&cmdline, 1, argv), EX_OSERR);
	cr_assert(failing_end());
	failing_begin(1);
	cr_assert_lt(process_fill_descriptors(), 0);
	cr_assert(failing_end());
}

/*
 * The service manager: it takes what is stored, if fcntl(2) does not fail, and says that
 * this is a restart.
 */

static struct activation stored;

int __wrap_job_process(struct job *m);
int __wrap_notify_send(const char *text, int fd, bool patient);
void __wrap_notify_barrier(void);

int __wrap_job_process(struct job *m)
{
	return m->deadline ? JOB_RESTART : JOB_ASKING;
}

int __wrap_notify_send(const char *text, int fd, bool patient)
{
	const char *name = strstr(text, "FDNAME=");
	int *place = NULL;
	unsigned i;

	cr_assert(name && patient);
	if (strstr(name, "FDNAME=stored.state"))
		place = &stored.state;
	else if (sscanf(name, "FDNAME=stored.carrier.%u", &i) == 1)
		place = &stored.carriers[i];
	if (!place || fd < 0) /* a listener, or something is removed */
		return 0;
	*place = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return *place < 0 ? -errno : 0;
}

void __wrap_notify_barrier(void)
{
}

static void be_managed(void)
{
	setenv("NOTIFY_SOCKET", "@echod-test-nothing-is-there", 1);
}

/* Clients that have been echoed, so a worker has them. */
static void connect_clients(void)
{
	const char *line = strstr(helper_caught(), "listening on ");
	char where[32] = "";
	struct address address;

	cr_assert(line && sscanf(line, "listening on %31s", where) == 1);
	address = helper_address(where);
	for (int i = 0; i < CLIENTS; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		char byte = 'x';

		cr_assert_eq(connect(fd, &address.any, address.size), 0);
		cr_assert_eq(write(fd, &byte, 1), 1);
		cr_assert_eq(read(fd, &byte, 1), 1);
	}
}

/* What a process that hands over leaves to its end. */
static void close_all_tcp(void)
{
	for (int fd = 3; fd < 1024; fd++) {
		int protocol;
		socklen_t size = sizeof(protocol);

		if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 &&
		    protocol == IPPROTO_TCP)
			close(fd);
	}
}

/* Of how many connections the log says that they are lost. */
static unsigned count_lost(const char *log)
{
	const char *at = strstr(log, " connections are lost");

	if (!at)
		at = strstr(log, " connections were lost");
	if (!at)
		return 0;
	while (at > log && at[-1] != ' ')
		at--;
	return (unsigned)strtoul(at, NULL, 10);
}

/* A daemon with clients up to its restart, in which the nth call fails.  True if one has. */
static bool hand_over(unsigned nth, unsigned *lost)
{
	bool failed;

	stored = (struct activation){ .state = -1 };
	memset(stored.carriers, 0xff, sizeof(stored.carriers)); /* -1 */
	cr_assert_eq(server_start(&conf, &options), 0);
	connect_clients();
	failing_begin_here(nth); /* workers may still look whether there is more */
	kill(getpid(), SIGTERM);
	cr_assert_eq(server_run(), EX_OK);
	failed = failing_end();
	close_all_tcp();
	*lost = count_lost(helper_caught());
	return failed;
}

static void count_and_close(void *context, uint32_t number, int fd)
{
	(void)number;
	++*(unsigned *)context;
	close(fd);
}

/* Closes what was stored; returns how many connections that is. */
static unsigned take_out(void)
{
	unsigned n = 0;

	for (size_t i = 0; i < ACTIVATION_CARRIERS; i++)
		if (stored.carriers[i] >= 0) {
			fdpass_unpack(stored.carriers[i], count_and_close, &n);
			close(stored.carriers[i]);
		}
	if (stored.state >= 0)
		close(stored.state);
	return n;
}

/* Whatever fails when it hands over, a connection is stored or said to be lost. */
TEST(server, hand_over)
{
	unsigned before;
	bool failed = true;

	be_managed();
	before = helper_count_descriptors();
	for (unsigned nth = 1; failed; nth++) {
		unsigned lost, carried;

		failed = hand_over(nth, &lost);
		carried = take_out();
		cr_assert_eq(carried + lost, CLIENTS, "call %u: %u stored, %u lost", nth, carried,
			     lost);
		cr_assert(failed || lost == 0);
		cr_assert_eq(helper_count_descriptors(), before, "call %u", nth);
	}
}

/* Whatever fails when another takes over, a connection goes on or is counted as lost. */
TEST(server, take_over)
{
	bool failed = true;

	be_managed();
	for (unsigned nth = 1; failed; nth++) {
		unsigned lost, before = helper_count_descriptors();
		struct takeover t;
		struct reactor r;
		uint64_t open;
		int status;

		cr_assert_not(hand_over(0, &lost));
		cr_assert_eq(reactor_init(&r, &conf, 1024, false), 0);
		reactor_set(&r, &conf, 100);
		failing_begin(nth);
		t = takeover_run(&r, &stored);
		open = reactor_open(&r);
		status = reactor_start(&r);
		failed = failing_end();
		cr_assert_eq(t.carried + t.lost, CLIENTS, "call %u: %u and %u", nth, t.carried,
			     t.lost);
		cr_assert_eq(open, t.carried);
		cr_assert(failed || (t.lost == 0 && status == 0));
		if (status == 0) {
			while (!reactor_stop(&r, true))
				helper_wait(r.shared.main_fd, POLLIN);
			reactor_join(&r);
		}
		reactor_deinit(&r);
		close_all_tcp();
		cr_assert_eq(helper_count_descriptors(), before, "call %u", nth);
	}
}
