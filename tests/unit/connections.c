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

/* What a list or a queue should be: an array. */
struct model {
	uint32_t members[RECORDS];
	size_t n;
};

/* The list, read in both directions, is what the model says. */
static void check(const struct list *list, const struct model *model)
{
	uint32_t i = list->head, before = 0;

	for (size_t k = 0; k < model->n; k++) {
		cr_assert_eq(i, model->members[k], "at %zu", k);
		cr_assert_eq(connections_at(&all, i)->older, before);
		before = i;
		i = connections_at(&all, i)->younger;
	}
	cr_assert_eq(i, 0, "the list has more than %zu members", model->n);
	cr_assert_eq(list->tail, before);
}

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

/*
 * After every one of many random operations both lists are what their models say, the
 * oldest first, and nothing but its links has changed in a record.
 */
TEST(connections, lists)
{
	struct helper_random random = { 20240607 };
	struct model models[2] = { 0 };

	for (int i = 0; i < 100000; i++) {
		uint32_t index = 1 + helper_random(&random, RECORDS - 1);
		struct connection *c = connections_at(&all, index), before = *c;
		struct model *model = &models[c->stalled];

		if (model_remove(model, index)) {
			connections_remove(&members, c);
			cr_assert(c->older == 0 && c->younger == 0);
			c->stalled = helper_random(&random, 2);
			c->echoed = helper_random(&random, 1000);
			c->older = c->younger = helper_random(&random, RECORDS); /* of no matter */
		} else {
			model->members[model->n++] = index;
			connections_add(&members, c, before.since);
			before.older = c->older;
			before.younger = c->younger;
			cr_assert_eq(memcmp(&before, c, sizeof(before)), 0);
		}
		check(&members.idle, &models[0]);
		check(&members.stalled, &models[1]);
	}
}

/* The ready queue is first in, first out; a connection that is in it keeps its place. */
TEST(connections, queue)
{
	struct helper_random random = { 7 };
	struct model model = { 0 };

	for (int i = 0; i < 100000; i++) {
		uint32_t index = 1 + helper_random(&random, RECORDS - 1);
		struct connection *c = connections_at(&all, index);

		if (helper_random(&random, 2)) {
			if (!c->ready) {
				model.members[model.n++] = index;
				c->next_ready = helper_random(&random, RECORDS); /* of no matter */
			}
			connections_enqueue(&members, c);
			cr_assert(c->ready);
		} else if (model.n > 0) {
			c = connections_dequeue(&members);
			cr_assert_eq(connections_index(&all, c), model.members[0]);
			cr_assert_not(c->ready);
			model_remove(&model, model.members[0]);
		}
		cr_assert_eq(members.ready.head != 0, model.n > 0);
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
	connections_enqueue(&members, c);
	cr_assert_null(overdue_idle());
	cr_assert_eq(wait_ms(), 0, "it is to have its turn");
	cr_assert_eq(connections_dequeue(&members), c);
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
	c->echoed = 100000;
	unacknowledged = 40000;
	connections_restart(&members, c, true);
	cr_assert_eq(c->acknowledged, 60000);
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

/*
 * Slow, not stalled, is a client that took all, or 500 bytes a second; what the kernel
 * took since counts as well.
 */
TEST(connections, slow)
{
	static const struct {
		uint64_t echoed, acknowledged;
		uint32_t unacknowledged;
		bool slow;
	} rows[] = {
		{ 100000, 50000, 50000, false }, { 100000, 50000, 49001, false },
		{ 100000, 50000, 49000, true },	 { 110000, 50000, 49000, true },
		{ 110000, 50000, 59001, false }, { 110000, 109990, 0, true },
		{ 110000, 109990, 11, false }, /* a predecessor's, or our FIN: less than nothing */
	};
	struct connection *c = add(1);

	for (size_t i = 0; i < COUNT(rows); i++) {
		c->echoed = rows[i].echoed;
		c->acknowledged = rows[i].acknowledged;
		unacknowledged = rows[i].unacknowledged;
		cr_expect_eq(connections_is_slow(&members, c, 2000), rows[i].slow, "row %zu", i);
	}
}
