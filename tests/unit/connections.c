/* SPDX-License-Identifier: MIT */
#include "reactor/connections.h"

#include <string.h>
#include <time.h>

#include "helper.h"

#define RECORDS 64

static struct connections all;
static struct members members;
static int64_t now; /* ms */
static uint32_t unacknowledged;

int __wrap_clock_gettime(clockid_t id, struct timespec *t);
int __real_clock_gettime(clockid_t id, struct timespec *t);
uint32_t __wrap_tcp_unacknowledged(int fd);

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
	if (id != CLOCK_MONOTONIC || now == 0)
		return __real_clock_gettime(id, t);
	*t = (struct timespec){ .tv_sec = (time_t)(now / 1000),
				.tv_nsec = (long)(now % 1000 * 1000000) };
	return 0;
}

uint32_t __wrap_tcp_unacknowledged(int fd)
{
	cr_assert_gt(fd, 0);
	return unacknowledged;
}

static void begin(void)
{
	cr_assert_eq(connections_init(&all, RECORDS), 0);
	members = (struct members){ .all = &all };
	now = 10000;
	members.now = now;
}

static void end(void)
{
	now = 0;
	connections_deinit(&all);
}

TestSuite(connections, .init = begin, .fini = end, .timeout = HELPER_TIMEOUT);

static void append(uint32_t index)
{
	connections_add(&members, connections_at(&all, index), 0);
}

static void take_out(uint32_t index)
{
	connections_remove(&members, connections_at(&all, index));
}

/* The list, read in both directions, is exactly this. */
static void check(const uint32_t *expected, size_t n)
{
	uint32_t i = members.idle.head, before = 0;

	for (size_t k = 0; k < n; k++) {
		cr_assert_eq(i, expected[k], "at %zu: %u, not %u", k, i, expected[k]);
		cr_assert_eq(connections_at(&all, i)->older, before);
		before = i;
		i = connections_at(&all, i)->younger;
	}
	cr_assert_eq(i, 0, "the list has more than %zu members", n);
	cr_assert_eq(members.idle.tail, before);
}

#define CHECK(...) \
	check((uint32_t[]){ __VA_ARGS__ }, sizeof((uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

/* Members stand in the order in which they came, the oldest first. */
TEST(connections, list_order)
{
	check(NULL, 0);
	append(5);
	CHECK(5);
	append(3);
	append(RECORDS - 1);
	append(1);
	CHECK(5, 3, RECORDS - 1, 1);
}

/* The first, one in between, the last and the only one can be removed. */
TEST(connections, list_remove_anywhere)
{
	for (uint32_t i = 1; i <= 4; i++)
		append(i);
	take_out(3);
	CHECK(1, 2, 4);
	take_out(1);
	CHECK(2, 4);
	take_out(4);
	CHECK(2);
	take_out(2);
	check(NULL, 0);
	append(2);
	CHECK(2);
}

/* A connection that was removed has no neighbours, and touches none when it is appended again. */
TEST(connections, list_removed_record_is_clean)
{
	append(1);
	append(2);
	append(3);
	take_out(2);
	cr_assert_eq(connections_at(&all, 2)->older, 0);
	cr_assert_eq(connections_at(&all, 2)->younger, 0);
	append(2);
	CHECK(1, 3, 2);
}

/* A record has old links when it is appended: they do not matter. */
TEST(connections, list_append_ignores_old_links)
{
	append(1);
	connections_at(&all, 2)->older = 7;
	connections_at(&all, 2)->younger = 9;
	append(2);
	CHECK(1, 2);
}

/* Nothing but the links changes. */
TEST(connections, list_leaves_the_rest_alone)
{
	connections_at(&all, 2)->acknowledged = 42;
	connections_at(&all, 2)->echoed = 43;
	append(1);
	append(2);
	append(3);
	take_out(2);
	cr_assert_eq(connections_at(&all, 2)->acknowledged, 42);
	cr_assert_eq(connections_at(&all, 2)->echoed, 43);
}

/* The stalled have a list of their own, and the two do not mix. */
TEST(connections, two_lists)
{
	connections_at(&all, 2)->stalled = connections_at(&all, 4)->stalled = true;
	for (uint32_t i = 1; i <= 4; i++)
		append(i);
	CHECK(1, 3);
	take_out(2);
	cr_assert_eq(members.stalled.head, 4);
	cr_assert_eq(members.stalled.tail, 4);
	CHECK(1, 3);
}

/* What a list should be: an array. */
struct model {
	uint32_t members[RECORDS];
	size_t n;
};

static bool model_remove(struct model *model, uint32_t index)
{
	for (size_t i = 0; i < model->n; i++)
		if (model->members[i] == index) {
			model->n--;
			memmove(&model->members[i], &model->members[i + 1],
				(model->n - i) * sizeof(model->members[0]));
			return true;
		}
	return false;
}

/* After every one of many random operations the list is what the model says. */
TEST(connections, list_random_operations)
{
	struct helper_random random = { 20240607 };
	struct model model = { .n = 0 };

	for (int i = 0; i < 100000; i++) {
		uint32_t index = 1 + helper_random(&random, RECORDS - 1);

		if (model_remove(&model, index)) {
			take_out(index);
		} else {
			model.members[model.n++] = index;
			append(index);
		}
		check(model.members, model.n);
	}
}

static void put(uint32_t index)
{
	connections_enqueue(&members, connections_at(&all, index));
}

/* Takes one, or 0 if there is none. */
static uint32_t take(void)
{
	return members.ready.head ? connections_index(&all, connections_dequeue(&members)) : 0;
}

/* First come, first served. */
TEST(connections, queue_order)
{
	cr_assert_eq(take(), 0);
	put(5);
	put(RECORDS - 1);
	put(1);
	cr_assert_eq(take(), 5);
	put(3);
	cr_assert_eq(take(), RECORDS - 1);
	cr_assert_eq(take(), 1);
	cr_assert_eq(take(), 3);
	cr_assert_eq(take(), 0);
}

/* A connection that is in the queue keeps its place; one that is out may come again. */
TEST(connections, queue_once)
{
	put(1);
	put(2);
	put(1);
	put(2);
	cr_assert_eq(take(), 1);
	put(1);
	put(1);
	cr_assert_eq(take(), 2);
	cr_assert_eq(take(), 1);
	cr_assert_eq(take(), 0);
}

/* The mark of a connection that waits is set and taken away, and an old link does not matter. */
TEST(connections, queue_marks)
{
	connections_at(&all, 1)->next_ready = 9;
	put(1);
	cr_assert(connections_at(&all, 1)->ready);
	cr_assert_not(connections_at(&all, 2)->ready);
	cr_assert_eq(take(), 1);
	cr_assert_not(connections_at(&all, 1)->ready);
	cr_assert_eq(members.ready.head, 0);
}

/* After every one of many random operations it is what an array says. */
TEST(connections, queue_random_operations)
{
	struct helper_random random = { 7 };
	uint32_t model[RECORDS];
	bool in[RECORDS] = { false };
	size_t n = 0;

	for (int i = 0; i < 100000; i++) {
		uint32_t index = 1 + helper_random(&random, RECORDS - 1);

		if (helper_random(&random, 2)) {
			put(index);
			if (!in[index])
				model[n++] = index;
			in[index] = true;
		} else {
			uint32_t expected = n ? model[0] : 0;

			cr_assert_eq(take(), expected);
			in[expected] = false;
			if (n > 0)
				memmove(model, model + 1, --n * sizeof(model[0]));
		}
	}
}

/*
 * Times: the clock is the test's.
 */

static int64_t idle_ms = 1000;

static int wait_ms(void)
{
	return connections_wait(&members, idle_ms, 2000);
}

static struct connection *overdue_idle(void)
{
	return connections_overdue(&members, &members.idle, idle_ms);
}

static struct connection *overdue_stalled(void)
{
	return connections_overdue(&members, &members.stalled, 2000);
}

static struct connection *add(uint32_t index)
{
	struct connection *c = connections_at(&all, index);

	connections_add(&members, c, now);
	return c;
}

/* A wait that lasts until then, and the n events of at most 10 that end it. */
static void wait_until(int64_t then, int n, uint64_t watched)
{
	now = then;
	connections_settle(&members, n, 10, watched);
}

/* A batch that is not full has emptied the ready list: what was before the wait is settled. */
TEST(connections, overdue)
{
	struct connection *c = add(1);

	cr_assert_eq(wait_ms(), 1000);
	wait_until(10999, 9, 2);
	cr_assert_null(overdue_idle());
	cr_assert_eq(wait_ms(), 1);
	wait_until(15000, 0, 2);
	cr_assert_null(overdue_idle(), "its event may have come in the wait");
	cr_assert_eq(wait_ms(), 0);
	wait_until(15000, 0, 2);
	cr_assert_eq(overdue_idle(), c);
	connections_remove(&members, c);
	cr_assert_eq(wait_ms(), -1);
}

/* What is ready has something to say and is not overdue; without a timeout nothing is, ever. */
TEST(connections, never_overdue)
{
	struct connection *c = add(1);

	wait_until(11000, 0, 2);
	wait_until(11000, 0, 2);
	cr_assert_eq(overdue_idle(), c);
	c->ready = true;
	cr_assert_null(overdue_idle());
	cr_assert_eq(wait_ms(), 0);
	c->ready = false;
	idle_ms = 0;
	cr_assert_null(overdue_idle());
	cr_assert_eq(wait_ms(), -1);
}

/* While batches are full a moment is settled after as many events as were watched then. */
TEST(connections, full_batches)
{
	struct connection *c = add(1);

	wait_until(11000, 10, 35); /* the mark */
	for (int i = 1; i <= 3; i++) {
		wait_until(11000 + i, 10, 35);
		cr_assert_null(overdue_idle(), "after %d events", 10 * i);
	}
	wait_until(20000, 10, 35);
	cr_assert_eq(members.settled, 11000);
	cr_assert_eq(overdue_idle(), c);
	for (int i = 1; i <= 3; i++) {
		wait_until(20000 + i, 10, 1000);
		cr_assert_eq(members.settled, 11000);
		cr_assert_eq(overdue_idle(), c, "what was settled stays so");
	}
	wait_until(20004, 10, 1000);
	cr_assert_eq(members.settled, 20000);
	wait_until(20005, 9, 1000);
	cr_assert_eq(members.settled, 20004);
	wait_until(20006, 10, 5); /* a new mark, not the rest of the old one */
	cr_assert_eq(members.settled, 20004);
	wait_until(20007, 10, 5);
	cr_assert_eq(members.settled, 20006);
}

/* A stalled connection has a time of its own, which begins anew when it is stalled no longer. */
TEST(connections, overdue_stalled)
{
	struct connection *c = add(1);

	wait_until(10500, 0, 2);
	connections_restart(&members, c, true);
	wait_until(12499, 0, 2);
	wait_until(12499, 0, 2);
	cr_assert_null(overdue_idle());
	cr_assert_null(overdue_stalled());
	wait_until(12500, 0, 2);
	wait_until(12500, 0, 2);
	cr_assert_eq(overdue_stalled(), c);
	connections_restart(&members, c, false);
	cr_assert_null(overdue_stalled());
	cr_assert_eq(wait_ms(), 1000);
}

/* What its client has acknowledged is noted when a connection becomes stalled. */
TEST(connections, acknowledged)
{
	struct connection *c = add(1);

	c->echoed = 100000;
	unacknowledged = 40000;
	wait_until(10001, 0, 2);
	connections_restart(&members, c, true);
	cr_assert_eq(c->acknowledged, 60000);
}

/* While one is to have its turn there is no waiting. */
TEST(connections, no_wait_for_ready)
{
	struct connection *c = add(1);

	connections_enqueue(&members, c);
	cr_assert_eq(wait_ms(), 0);
	cr_assert_eq(connections_dequeue(&members), c);
	cr_assert_eq(wait_ms(), 1000);
}
