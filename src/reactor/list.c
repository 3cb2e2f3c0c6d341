#include "reactor/list.h"

void list_append(struct list *list, const struct table *table, struct connection *c)
{
	uint32_t index = table_index(table, c);

	c->age = (struct link){ .prev = list->tail };
	if (list->tail)
		table_at(table, list->tail)->age.next = index;
	else
		list->head = index;
	list->tail = index;
}

void list_remove(struct list *list, const struct table *table, struct connection *c)
{
	if (c->age.prev)
		table_at(table, c->age.prev)->age.next = c->age.next;
	else
		list->head = c->age.next;
	if (c->age.next)
		table_at(table, c->age.next)->age.prev = c->age.prev;
	else
		list->tail = c->age.prev;
	c->age = (struct link){ 0 };
}

struct connection *list_overdue(const struct list *list, const struct table *table, int64_t timeout,
				int64_t asof)
{
	struct connection *c = list->head ? table_at(table, list->head) : NULL;

	return timeout && c && !c->ready && c->since + timeout <= asof ? c : NULL;
}

int64_t list_due(const struct list *list, const struct table *table, int64_t timeout)
{
	return timeout && list->head ? table_at(table, list->head)->since + timeout : INT64_MAX;
}
