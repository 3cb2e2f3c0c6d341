/* SPDX-License-Identifier: MIT */
/*
 * The client and a real echo.  One call of the client's fails, each in its turn,
 * until none is left.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "echoc/load.h"
#include "echoc/options.h"
#include "echoc/talk.h"
#include "echoc/target.h"
#include "failing.h"
#include "helper.h"
#include "reactor/reactor.h"

static struct target target;
static pid_t service;

/* A process that echoes. */
static void serve(int listener)
{
	static const struct conf conf = { .workers = 1, .buffer_size = 4096 };
	static struct reactor reactor;
	struct acceptor_set set = { .fds = { listener }, .n = 1 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (reactor_init(&reactor, &conf, 1024, false) < 0 || reactor_start(&reactor) < 0)
		_exit(1);
	acceptor_listen(&reactor.acceptor, &set);
	for (;;)
		pause();
}

static void begin(void)
{
	struct address address;
	int listener = helper_listen(&address, 16);
	const char *reason;
	char name[ADDRESS_TEXT];

	cr_assert_eq(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
	service = fork();
	cr_assert_geq(service, 0);
	if (service == 0)
		serve(listener);
	close(listener);
	cr_assert_eq(target_resolve(&target, address_format(&address, name), AF_INET, &reason), 0);
	signal(SIGPIPE, SIG_IGN);
}

static void end(void)
{
	kill(service, SIGKILL);
	waitpid(service, NULL, 0);
}

TestSuite(client, .init = begin, .fini = end, .timeout = HELPER_TIMEOUT);

/* Each message is verified or lost, and the status says which. */
static void check(int status, bool failed, unsigned nth)
{
	const char *text = helper_caught(), *line = strstr(text, "messages: ");
	unsigned sent, verified, corrupt, lost;

	cr_assert(failed || status == EXIT_ALL_BACK, "status %d: %s", status, text);
	if (!line) { /* it could not connect, or did not even start */
		cr_assert_eq(status, EXIT_OTHER, "call %u: status %d", nth, status);
		return;
	}
	cr_assert_eq(sscanf(line, "messages: %u sent, %u verified, %u corrupt, %u lost", &sent,
			    &verified, &corrupt, &lost),
		     4);
	cr_assert_eq(corrupt, 0);
	cr_assert_geq(verified + lost, sent, "call %u: %s", nth, line);
	if (status == EXIT_ALL_BACK)
		cr_assert_eq(verified, sent, "call %u: %s", nth, line);
}

/* A load with these arguments, over and over. */
static void load_failing(const char *arguments)
{
	char text[256], *rest = text, *argv[16];
	struct options options;
	bool failed = true;
	int argc = 0;

	snprintf(text, sizeof(text), "echoc load %s host", arguments);
	while ((argv[argc] = strsep(&rest, " ")))
		argc++;
	cr_assert_lt(options_parse(&options, argc, argv), 0);
	helper_catch(STDOUT_FILENO);
	for (unsigned nth = 1; failed; nth++) {
		int status;

		failing_begin(nth);
		status = load_run(&options, &target);
		failed = failing_end();
		check(status, failed, nth);
	}
}

/* As answers come, on two connections of two threads. */
TEST(client, load)
{
	load_failing("--connections=2 --threads=2 --messages=4");
}

/* By a plan. */
TEST(client, planned_load)
{
	load_failing(
		"--connections=2 --messages=4 --rate=1000 --histogram=/dev/null --hlog=/dev/null");
}

/* A connection for each message, from an address that is given. */
TEST(client, churn)
{
	load_failing("--churn --messages=3 --source=127.0.0.1");
}

/* Without a listener at the first address, the second one is taken. */
TEST(client, second_address)
{
	target.addresses[1] = target.addresses[0];
	(void)helper_listen(&target.addresses[0], -1);
	target.n = 2;
	load_failing("--connections=2 --messages=2");
}

/* Without options it is as echoc(1) says. */
TEST(client, defaults)
{
	char command[] = "echoc", load[] = "load", host[] = "host";
	char *argv[] = { command, load, host, NULL };
	struct options options;

	cr_assert_lt(options_parse(&options, 3, argv), 0);
	cr_assert_eq(options.command, COMMAND_LOAD);
	cr_assert_eq(options.duration, 10000000000);
	cr_assert_eq(options.messages, 0);
	cr_assert_eq(options.connections, 1);
	cr_assert_str_eq(options.target, "host");
}

static const struct options talk_options = { .verify = true,
					     .connect_timeout = 5000000000,
					     .timeout = 5000000000 };

/* Puts a file in that place, to be read or written from its beginning. */
static void become(int fd, int standard)
{
	cr_assert_eq(dup2(fd, standard), standard);
	(void)lseek(standard, 0, SEEK_SET);
}

/* In a pipe all comes out, or the status says that it does not. */
TEST(client, talk)
{
	static char data[20000], back[sizeof(data) + 1];
	int input = helper_memory_file(data, sizeof(data)), output = helper_memory_file("", 0);
	bool failed = true;

	for (unsigned nth = 1; failed; nth++) {
		int status;
		ssize_t n;

		cr_assert_eq(ftruncate(output, 0), 0);
		become(input, STDIN_FILENO);
		become(output, STDOUT_FILENO);
		failing_begin(nth);
		status = talk_run(&talk_options, &target);
		failed = failing_end();
		n = pread(output, back, sizeof(back), 0);
		cr_assert(failed || status == EXIT_ALL_BACK, "status %d", status);
		if (status == EXIT_ALL_BACK)
			cr_assert(n == sizeof(data) && memcmp(data, back, sizeof(data)) == 0,
				  "call %u: %zd bytes", nth, n);
	}
}

/* A person at the terminal: a line at the first prompt, ^D at each other one. */
static void *type(void *arg)
{
	int *master = arg;
	const char *keys = "hello\r";
	char c;

	while (read(*master, &c, 1) == 1) {
		if (c != '>')
			continue;
		if (write(*master, keys, strlen(keys)) < 0)
			break;
		keys = "\4";
	}
	return NULL;
}

/* A new terminal as standard input and output; returns its other end. */
static int sit_down(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		cr_skip_test("there are no pseudo-terminals");
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	cr_assert_geq(slave, 0);
	cr_assert_eq(dup2(slave, STDIN_FILENO), STDIN_FILENO);
	cr_assert_eq(dup2(slave, STDOUT_FILENO), STDOUT_FILENO);
	close(slave);
	return master;
}

/* At a terminal it comes to its end, too.  Memory is not checked: terminfo leaks some each time. */
Test(client, terminal)
{
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
	bool failed = true;

	for (unsigned nth = 1; failed; nth++) {
		int status, master = sit_down();
		pthread_t typist;

		cr_assert_eq(pthread_create(&typist, NULL, type, &master), 0);
		failing_begin_here(nth);
		status = talk_run(&talk_options, &target);
		failed = failing_end();
		become(nothing, STDIN_FILENO);
		become(nothing, STDOUT_FILENO); /* the terminal is gone, and so is the typist */
		pthread_join(typist, NULL);
		close(master);
		cr_assert(failed || status == EXIT_ALL_BACK, "status %d", status);
	}
}
