#include "reactor/connections.h"

#include <string.h>

#include "helper.h"

#define RECORDS 64

static struct connections all;
static struct list list;
static struct queue queue;

static void begin(void)
{
	cr_assert_eq(connections_init(&all, RECORDS), 0);
	list = (struct list){ 0 };
	queue = (struct queue){ 0 };
}

static void end(void)
{
	connections_deinit(&all);
}

TestSuite(connections, .init = begin, .fini = end, .timeout = HELPER_TIMEOUT);

static void append(uint32_t index)
{
	connections_append(&all, &list, connections_at(&all, index));
}

static void take_out(uint32_t index)
{
	connections_remove(&all, &list, connections_at(&all, index));
}

/* The list, read in both directions, is exactly this. */
static void check(const uint32_t *expected, size_t n)
{
	uint32_t i = list.head, before = 0;

	for (size_t k = 0; k < n; k++) {
		cr_assert_eq(i, expected[k], "at %zu: %u, not %u", k, i, expected[k]);
		cr_assert_eq(connections_at(&all, i)->older, before);
		before = i;
		i = connections_at(&all, i)->younger;
	}
	cr_assert_eq(i, 0, "the list has more than %zu members", n);
	cr_assert_eq(list.tail, before);
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
	connections_at(&all, 2)->since = 42;
	connections_at(&all, 2)->echoed = 43;
	append(1);
	append(2);
	append(3);
	take_out(2);
	cr_assert_eq(connections_at(&all, 2)->since, 42);
	cr_assert_eq(connections_at(&all, 2)->echoed, 43);
}

/* Two lists share the records, as a worker's do, and do not mix. */
TEST(connections, two_lists)
{
	struct list other = { 0 };

	append(1);
	connections_append(&all, &other, connections_at(&all, 2));
	append(3);
	connections_append(&all, &other, connections_at(&all, 4));
	CHECK(1, 3);
	connections_remove(&all, &other, connections_at(&all, 2));
	cr_assert_eq(other.head, 4);
	cr_assert_eq(other.tail, 4);
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
	connections_enqueue(&all, &queue, connections_at(&all, index));
}

/* Takes one, or 0 if there is none. */
static uint32_t take(void)
{
	return queue.head ? connections_index(&all, connections_dequeue(&all, &queue)) : 0;
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
	cr_assert_eq(queue.head, 0);
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
