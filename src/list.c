#include "list.h"

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
