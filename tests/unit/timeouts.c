/*
 * Who is overdue, and as of when.  The clock and what the kernel says of
 * acknowledgements are the test's.
 */
#include "reactor/timeouts.h"

#include <time.h>

#include "helper.h"

static struct connections connections;
static struct timeouts timeouts;
static int64_t now; /* ms */
static uint32_t unacknowledged;

int __wrap_clock_gettime(clockid_t id, struct timespec *t);
int __real_clock_gettime(clockid_t id, struct timespec *t);
uint32_t __wrap_connection_unacknowledged(int fd);

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
	if (id != CLOCK_MONOTONIC || now == 0)
		return __real_clock_gettime(id, t);
	*t = (struct timespec){ .tv_sec = (time_t)(now / 1000),
				.tv_nsec = (long)(now % 1000 * 1000000) };
	return 0;
}

uint32_t __wrap_connection_unacknowledged(int fd)
{
	cr_assert_gt(fd, 0);
	return unacknowledged;
}

static void begin(void)
{
	cr_assert_eq(connections_init(&connections, 64), 0);
	timeouts =
		(struct timeouts){ .connections = &connections, .idle_ms = 1000, .stall_ms = 2000 };
	now = 10000;
	timeouts_tick(&timeouts);
}

static void end(void)
{
	now = 0;
	connections_deinit(&connections);
}

TestSuite(timeouts, .init = begin, .fini = end, .timeout = HELPER_TIMEOUT);

static struct connection *add(uint32_t index)
{
	struct connection *c = connections_at(&connections, index);

	timeouts_add(&timeouts, c, timeouts.now);
	return c;
}

/* A wait that lasts until then, and the n events of at most 10 that end it. */
static void wait_until(int64_t then, size_t n, uint64_t watched)
{
	now = then;
	timeouts_tick(&timeouts);
	timeouts_collected(&timeouts, n, 10, watched);
}

/* A batch that is not full has emptied the ready list: what was before the wait is settled. */
TEST(timeouts, idle)
{
	struct connection *c = add(1);

	cr_assert_eq(timeouts_patience(&timeouts), 1000);
	wait_until(10999, 9, 2);
	cr_assert_null(timeouts_idle(&timeouts));
	cr_assert_eq(timeouts_patience(&timeouts), 1);
	wait_until(15000, 0, 2);
	cr_assert_null(timeouts_idle(&timeouts), "its event may have come in the wait");
	cr_assert_eq(timeouts_patience(&timeouts), 0);
	wait_until(15000, 0, 2);
	cr_assert_eq(timeouts_idle(&timeouts), c);
	timeouts_remove(&timeouts, c);
	cr_assert_eq(timeouts_patience(&timeouts), -1);
}

/* What is ready has something to say and is not overdue; without a timeout nothing is, ever. */
TEST(timeouts, never_overdue)
{
	struct connection *c = add(1);

	wait_until(11000, 0, 2);
	wait_until(11000, 0, 2);
	cr_assert_eq(timeouts_idle(&timeouts), c);
	c->ready = true;
	cr_assert_null(timeouts_idle(&timeouts));
	cr_assert_eq(timeouts_patience(&timeouts), 0);
	c->ready = false;
	timeouts.idle_ms = 0;
	cr_assert_null(timeouts_idle(&timeouts));
	cr_assert_eq(timeouts_patience(&timeouts), -1);
}

/* While batches are full a moment is settled after as many events as were watched then. */
TEST(timeouts, full_batches)
{
	struct connection *c = add(1);

	wait_until(11000, 10, 35); /* the mark */
	for (int i = 1; i <= 3; i++) {
		wait_until(11000 + i, 10, 35);
		cr_assert_null(timeouts_idle(&timeouts), "after %d events", 10 * i);
	}
	wait_until(20000, 10, 35);
	cr_assert_eq(timeouts.settled, 11000);
	cr_assert_eq(timeouts_idle(&timeouts), c);
	for (int i = 1; i <= 3; i++) {
		wait_until(20000 + i, 10, 1000);
		cr_assert_eq(timeouts.settled, 11000);
		cr_assert_eq(timeouts_idle(&timeouts), c, "what was settled stays so");
	}
	wait_until(20004, 10, 1000);
	cr_assert_eq(timeouts.settled, 20000);
	wait_until(20005, 9, 1000);
	cr_assert_eq(timeouts.settled, 20004);
	wait_until(20006, 10, 5); /* a new mark, not the rest of the old one */
	cr_assert_eq(timeouts.settled, 20004);
	wait_until(20007, 10, 5);
	cr_assert_eq(timeouts.settled, 20006);
}

/* Who is stalled has a time of its own, and begins anew when it is no longer. */
TEST(timeouts, stalled)
{
	struct connection *c = add(1);

	wait_until(10500, 0, 2);
	timeouts_restart(&timeouts, c, true);
	wait_until(12499, 0, 2);
	wait_until(12499, 0, 2);
	cr_assert_null(timeouts_idle(&timeouts));
	cr_assert_null(timeouts_stalled(&timeouts));
	wait_until(12500, 0, 2);
	wait_until(12500, 0, 2);
	cr_assert_eq(timeouts_stalled(&timeouts), c);
	timeouts_restart(&timeouts, c, false);
	cr_assert_null(timeouts_stalled(&timeouts));
	cr_assert_eq(timeouts_patience(&timeouts), 1000);
}

/* Slow is who took all, or 500 bytes a second; what the kernel took meanwhile counts as well. */
TEST(timeouts, slow)
{
	struct connection *c = add(1);

	c->echoed = 100000;
	unacknowledged = 50000;
	wait_until(10001, 0, 2);
	timeouts_restart(&timeouts, c, true);
	cr_assert_eq(c->acknowledged, 50000);
	cr_assert_not(timeouts_is_slow(&timeouts, c));
	unacknowledged = 49001;
	cr_assert_not(timeouts_is_slow(&timeouts, c));
	unacknowledged = 49000;
	cr_assert(timeouts_is_slow(&timeouts, c));
	c->echoed = 110000;
	cr_assert(timeouts_is_slow(&timeouts, c));
	unacknowledged = 59001;
	cr_assert_not(timeouts_is_slow(&timeouts, c));
	c->acknowledged = c->echoed - 10;
	unacknowledged = 0;
	cr_assert(timeouts_is_slow(&timeouts, c));
	unacknowledged = 11; /* a predecessor's, or our FIN: less than nothing */
	cr_assert_not(timeouts_is_slow(&timeouts, c));
}
