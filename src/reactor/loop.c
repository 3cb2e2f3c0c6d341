/* SPDX-License-Identifier: MIT */
#include "reactor/loop.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/confine.h"
#include "base/thread.h"

int loop_init(struct loop *l, const char *name, int main_fd, bool trace)
{
	memset(l, 0, sizeof(*l));
	snprintf(l->name, sizeof(l->name), "%s", name);
	l->main_fd = main_fd;
	return poller_init(&l->poller, l->name, trace);
}

void loop_deinit(struct loop *l)
{
	poller_deinit(&l->poller);
}

static void *run(void *arg)
{
	struct loop *l = arg;

	pthread_setname_np(pthread_self(), l->name);
	confine_enter(CALLS_OF_IO, l->name);
	l->run(l->arg);
	atomic_store_explicit(&l->ended, true, memory_order_release);
	loop_wake_main(l);
	poller_unwatch_all(&l->poller); /* it takes its time, which others need not wait for */
	return NULL;
}

int loop_start(struct loop *l, void (*run_it)(void *arg), void *arg)
{
	int r;

	l->run = run_it;
	l->arg = arg;
	r = thread_start(&l->thread, run, l);
	l->started = r == 0;
	return r;
}

void loop_join(struct loop *l)
{
	if (l->started)
		pthread_join(l->thread, NULL);
	l->started = false;
}

void loop_command(struct loop *l, enum loop_command command)
{
	if (atomic_exchange(&l->command, (int)command) != (int)command)
		poller_wake(&l->poller);
}

enum loop_command loop_commanded(const struct loop *l)
{
	return (enum loop_command)atomic_load(&l->command);
}

void loop_ask(struct loop *l)
{
	atomic_store_explicit(&l->asked, clock_ms(), memory_order_relaxed);
	poller_wake(&l->poller);
}

int64_t loop_asked(const struct loop *l)
{
	return atomic_load_explicit(&l->asked, memory_order_relaxed);
}

bool loop_has_ended(const struct loop *l)
{
	return atomic_load_explicit(&l->ended, memory_order_acquire);
}

bool loop_is_running(const struct loop *l)
{
	return l->started && !loop_has_ended(l);
}

void loop_wake_main(const struct loop *l)
{
	(void)eventfd_write(l->main_fd, 1); /* it fails only if the count is at its maximum */
}

int loop_wait(struct loop *l, struct epoll_event *events, int max, int timeout_ms)
{
	if (loop_asked(l))
		atomic_store_explicit(&l->asked, 0, memory_order_relaxed);
	return poller_wait(&l->poller, events, max, timeout_ms);
}
