#include "reactor/list.h"

#include <string.h>

#include "helper.h"

#define RECORDS 64

static struct table table;
static struct list list;

static void begin(void)
{
	cr_assert_eq(table_init(&table, RECORDS), 0);
	memset(&list, 0, sizeof(list));
}

static void end(void)
{
	table_deinit(&table);
}

TestSuite(list, .init = begin, .fini = end, .timeout = HELPER_TIMEOUT);

static void append(uint32_t index)
{
	list_append(&list, &table, table_at(&table, index));
}

static void take_out(uint32_t index)
{
	list_remove(&list, &table, table_at(&table, index));
}

/* The list, read in both directions, is exactly this. */
static void check(const uint32_t *expected, size_t n)
{
	uint32_t i = list.head, before = 0;

	for (size_t k = 0; k < n; k++) {
		cr_assert_eq(i, expected[k], "at %zu: %u, not %u", k, i, expected[k]);
		cr_assert_eq(table_at(&table, i)->age.prev, before);
		before = i;
		i = table_at(&table, i)->age.next;
	}
	cr_assert_eq(i, 0, "the list has more than %zu members", n);
	cr_assert_eq(list.tail, before);
}

#define CHECK(...) \
	check((uint32_t[]){ __VA_ARGS__ }, sizeof((uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

/* Members stand in the order in which they came, the oldest first. */
TEST(list, order)
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
TEST(list, remove_anywhere)
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

/* Who is out has no neighbours left, and touches none of the others' when it comes back. */
TEST(list, removed_record_is_clean)
{
	append(1);
	append(2);
	append(3);
	take_out(2);
	cr_assert_eq(table_at(&table, 2)->age.prev, 0);
	cr_assert_eq(table_at(&table, 2)->age.next, 0);
	append(2);
	CHECK(1, 3, 2);
}

/* A record has old links when it is appended: they do not matter. */
TEST(list, append_ignores_old_links)
{
	append(1);
	table_at(&table, 2)->age = (struct link){ .prev = 7, .next = 9 };
	append(2);
	CHECK(1, 2);
}

/* Nothing but the links changes. */
TEST(list, leaves_the_rest_alone)
{
	table_at(&table, 2)->since = 42;
	table_at(&table, 2)->echoed = 43;
	append(1);
	append(2);
	append(3);
	take_out(2);
	cr_assert_eq(table_at(&table, 2)->since, 42);
	cr_assert_eq(table_at(&table, 2)->echoed, 43);
}

/* Two lists share a table, as a worker's do, and do not mix. */
TEST(list, two_lists_in_one_table)
{
	struct list other = { 0 };

	append(1);
	list_append(&other, &table, table_at(&table, 2));
	append(3);
	list_append(&other, &table, table_at(&table, 4));
	CHECK(1, 3);
	list_remove(&other, &table, table_at(&table, 2));
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
TEST(list, random_operations)
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

/* Time, in ms: the head is overdue when nothing happened there for the timeout. */
TEST(list, overdue)
{
	cr_assert_null(list_overdue(&list, &table, 100, INT64_MAX));
	table_at(&table, 1)->since = 1000;
	table_at(&table, 2)->since = 1050;
	append(1);
	append(2);
	cr_assert_null(list_overdue(&list, &table, 100, 1099));
	cr_assert_eq(list_overdue(&list, &table, 100, 1100), table_at(&table, 1));
	cr_assert_eq(list_overdue(&list, &table, 100, 5000), table_at(&table, 1));
	take_out(1);
	cr_assert_null(list_overdue(&list, &table, 100, 1149));
	cr_assert_eq(list_overdue(&list, &table, 100, 1150), table_at(&table, 2));
}

/* Who is ready has something to say and is not overdue, nor is anyone without a timeout. */
TEST(list, never_overdue)
{
	append(1);
	cr_assert_null(list_overdue(&list, &table, 0, INT64_MAX));
	cr_assert_eq(list_overdue(&list, &table, 1, INT64_MAX), table_at(&table, 1));
	table_at(&table, 1)->ready = true;
	cr_assert_null(list_overdue(&list, &table, 1, INT64_MAX));
}

/* The next that is due is the head, ready or not; none, or without a timeout: never. */
TEST(list, due)
{
	cr_assert_eq(list_due(&list, &table, 100), INT64_MAX);
	table_at(&table, 1)->since = 1000;
	table_at(&table, 2)->since = 10;
	append(1);
	append(2);
	cr_assert_eq(list_due(&list, &table, 100), 1100);
	cr_assert_eq(list_due(&list, &table, 0), INT64_MAX);
	take_out(1);
	cr_assert_eq(list_due(&list, &table, 100), 110);
	take_out(2);
	cr_assert_eq(list_due(&list, &table, 100), INT64_MAX);
}
