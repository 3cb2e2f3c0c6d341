/* SPDX-License-Identifier: MIT */
#include "reactor/loop.h"

#include <stdio.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/confine.h"
#include "base/thread.h"

int loop_init(struct loop *l, const char *name, int main_fd, bool trace, void (*run)(void *arg),
	      void *arg)
{
	*l = (struct loop){ .main_fd = main_fd, .run = run, .arg = arg };
	snprintf(l->name, sizeof(l->name), "%s", name);
	return poller_init(&l->poller, l->name, trace);
}

static void *live(void *arg)
{
	struct loop *l = arg;

	pthread_setname_np(pthread_self(), l->name);
	confine_enter(CALLS_OF_IO, l->name);
	l->run(l->arg);
	l->ended = true;
	loop_wake_main(l);
	poller_unwatch_all(&l->poller); /* it takes its time, which others need not wait for */
	return NULL;
}

int loop_start(struct loop *l)
{
	int r = thread_start(&l->thread, live, l);

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
	if (atomic_exchange(&l->command, command) != command)
		poller_wake(&l->poller);
}

void loop_ask(struct loop *l)
{
	l->asked = clock_ms();
	poller_wake(&l->poller);
}

bool loop_is_running(const struct loop *l)
{
	return l->started && !l->ended;
}

void loop_wake_main(const struct loop *l)
{
	(void)eventfd_write(l->main_fd, 1); /* it fails only if the count is at its maximum */
}

int loop_wait(struct loop *l, struct epoll_event *events, int max, int timeout_ms)
{
	if (l->asked)
		l->asked = 0;
	return poller_wait(&l->poller, events, max, timeout_ms);
}
