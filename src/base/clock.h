/* SPDX-License-Identifier: MIT */
/*
 * clock: the monotonic clock (clock_gettime(2)), in 64 bits, which neither
 * wraps nor follows changes of the date.  It stands still while the machine
 * is suspended, so a timeout counts only time in which we could have served.
 */
#ifndef ECHOD_CLOCK_H
#define ECHOD_CLOCK_H

#include <limits.h>
#include <stdint.h>
#include <time.h>

static inline int64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t clock_ms(void)
{
	return clock_ns() / 1000000;
}

/* The ms from now to that time, as poll(2) takes them: none if it is past; INT64_MAX is never. */
static inline int clock_timeout(int64_t due_ms, int64_t now_ms)
{
	if (due_ms == INT64_MAX)
		return -1;
	return due_ms <= now_ms ? 0 : (int)(due_ms - now_ms < INT_MAX ? due_ms - now_ms : INT_MAX);
}

/* A wait of that many ns, none if they are negative, as seconds of any size hold it. */
static inline struct timespec clock_wait(int64_t ns)
{
	int64_t s = ns / 1000000000;

	if (ns < 0)
		return (struct timespec){ 0 };
	return (struct timespec){ .tv_sec = (time_t)(s < INT32_MAX ? s : INT32_MAX),
				  .tv_nsec = (long)(ns % 1000000000) };
}

#endif
