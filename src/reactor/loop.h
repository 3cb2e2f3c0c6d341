/* SPDX-License-Identifier: MIT */
/*
 * loop: what the threads of the reactor have in common: each waits in an epoll
 * instance of its own, obeys main's commands, answers its questions for a
 * heartbeat, and says when it has ended.
 *
 * Main calls these functions, but for those that are the thread's own.
 */
#ifndef ECHOD_LOOP_H
#define ECHOD_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/poller.h"

/* What a thread is to do.  Each but RUN leads to its end. */
enum loop_command {
	RUN,
	DRAIN,	/* finish what there is */
	ABORT,	/* close what there is */
	FREEZE, /* leave what there is as it is, for a successor */
};

struct loop {
	char name[16]; /* of the thread */
	pthread_t thread;
	struct poller poller; /* woken when main has said something */
	int main_fd;	      /* an eventfd that wakes main */
	void (*run)(void *arg);
	void *arg;
	bool started; /* main's: there is a thread to be joined */

	_Atomic enum loop_command command; /* main writes: the command that holds */
	_Atomic int64_t asked; /* ms: when main asked for the heartbeat that is due; 0: none is */
	_Atomic bool ended;    /* set last by the thread: others may then read what it owned */
};

/*
 * Prepares a thread that will call run(arg); trace: see trace.h.  0 or -errno; after an
 * error there is nothing to undo.  poller_deinit() of its poller is the reverse.
 */
int loop_init(struct loop *l, const char *name, int main_fd, bool trace, void (*run)(void *arg),
	      void *arg);

/*
 * Starts the thread, which installs the filter of system calls, runs, and ends when that
 * returns.  Signals should be blocked: it inherits the mask.  0 or -errno.
 */
int loop_start(struct loop *l);

/* Waits for the thread to end, if it was started. */
void loop_join(struct loop *l);

/* Gives a command, which replaces the one before.  Never waits. */
void loop_command(struct loop *l, enum loop_command command);

/* Asks for a heartbeat: a thread that sleeps wakes up. */
void loop_ask(struct loop *l);

/* Any thread: true if it was started and has not ended. */
bool loop_is_running(const struct loop *l);

/* The thread: wakes main; waits as poller_wait(), which is a heartbeat. */
void loop_wake_main(const struct loop *l);
int loop_wait(struct loop *l, struct epoll_event *events, int max, int timeout_ms);

#endif
