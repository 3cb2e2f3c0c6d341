#include "reactor/queue.h"

#include <string.h>

#include "helper.h"

#define RECORDS 64

static struct table table;
static struct queue queue;

static void begin(void)
{
	cr_assert_eq(table_init(&table, RECORDS), 0);
	memset(&queue, 0, sizeof(queue));
}

static void end(void)
{
	table_deinit(&table);
}

TestSuite(queue, .init = begin, .fini = end, .timeout = HELPER_TIMEOUT);

static void put(uint32_t index)
{
	queue_put(&queue, &table, table_at(&table, index));
}

/* Takes one, or 0 if there is none. */
static uint32_t take(void)
{
	return queue.head ? table_index(&table, queue_take(&queue, &table)) : 0;
}

/* First come, first served. */
TEST(queue, order)
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

/* Who is in it keeps his place; who is out may come again. */
TEST(queue, once)
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

/* The mark of who waits is set and taken away, and an old link does not matter. */
TEST(queue, marks)
{
	table_at(&table, 1)->next_ready = 9;
	put(1);
	cr_assert(table_at(&table, 1)->ready);
	cr_assert_not(table_at(&table, 2)->ready);
	cr_assert_eq(take(), 1);
	cr_assert_not(table_at(&table, 1)->ready);
	cr_assert_eq(queue.head, 0);
}

/* After every one of many random operations it is what an array says. */
TEST(queue, random_operations)
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
