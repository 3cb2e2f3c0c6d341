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

	_Atomic int command;   /* main writes */
	_Atomic int64_t asked; /* ms: when main asked for the heartbeat that is due; 0: none is */
	_Atomic bool ended;    /* the thread's last word: what it owned is anyone's to read */
};

/* 0 or -errno; after an error there is nothing to undo.  trace: see trace.h. */
int loop_init(struct loop *l, const char *name, int main_fd, bool trace);

/* The thread does not run.  May be called twice. */
void loop_deinit(struct loop *l);

/*
 * Starts the thread, which installs the filter of system calls, calls run(arg),
 * and ends when that returns.  Signals should be blocked: it inherits the mask.
 * 0 or -errno.
 */
int loop_start(struct loop *l, void (*run)(void *arg), void *arg);

/* Waits for the thread to end, if it was started. */
void loop_join(struct loop *l);

/* Gives a command, which replaces the one before.  Never waits. */
void loop_command(struct loop *l, enum loop_command command);

/* Asks for a heartbeat: a thread that sleeps wakes up. */
void loop_ask(struct loop *l);

/* Any thread: when it was asked for a heartbeat that is still due, in ms of the clock; or 0. */
int64_t loop_asked(const struct loop *l);

/* Any thread: true if it has ended; if it was started and has not. */
bool loop_has_ended(const struct loop *l);
bool loop_is_running(const struct loop *l);

/* The thread: the command that holds; wakes main; waits as poller_wait(), which is a heartbeat. */
enum loop_command loop_commanded(const struct loop *l);
void loop_wake_main(const struct loop *l);
int loop_wait(struct loop *l, struct epoll_event *events, int max, int timeout_ms);

#endif
