#include "reactor/queue.h"

void queue_put(struct queue *queue, const struct table *table, struct connection *c)
{
	uint32_t index = table_index(table, c);

	if (c->ready)
		return;
	c->ready = true;
	c->next_ready = 0;
	if (queue->head)
		table_at(table, queue->tail)->next_ready = index;
	else
		queue->head = index;
	queue->tail = index;
}

struct connection *queue_take(struct queue *queue, const struct table *table)
{
	struct connection *c = table_at(table, queue->head);

	queue->head = c->next_ready;
	c->ready = false;
	return c;
}
