#include "reactor/connections.h"

#include <errno.h>
#include <sys/mman.h>

static size_t bytes(uint32_t size)
{
	return size * sizeof(struct connection);
}

int connections_init(struct connections *all, uint32_t size)
{
	void *memory = mmap(NULL, bytes(size), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
	all->records = memory;
	all->size = size;
	return 0;
}

void connections_deinit(struct connections *all)
{
	if (all->records)
		munmap(all->records, bytes(all->size));
	all->records = NULL;
	all->size = 0;
}

void connections_append(const struct connections *all, struct list *list, struct connection *c)
{
	uint32_t index = connections_index(all, c);

	c->older = list->tail;
	c->younger = 0;
	if (list->tail)
		connections_at(all, list->tail)->younger = index;
	else
		list->head = index;
	list->tail = index;
}

void connections_remove(const struct connections *all, struct list *list, struct connection *c)
{
	if (c->older)
		connections_at(all, c->older)->younger = c->younger;
	else
		list->head = c->younger;
	if (c->younger)
		connections_at(all, c->younger)->older = c->older;
	else
		list->tail = c->older;
	c->older = c->younger = 0;
}

void connections_enqueue(const struct connections *all, struct queue *queue, struct connection *c)
{
	uint32_t index = connections_index(all, c);

	if (c->ready)
		return;
	c->ready = true;
	c->next_ready = 0;
	if (queue->head)
		connections_at(all, queue->tail)->next_ready = index;
	else
		queue->head = index;
	queue->tail = index;
}

struct connection *connections_dequeue(const struct connections *all, struct queue *queue)
{
	struct connection *c = connections_at(all, queue->head);

	queue->head = c->next_ready;
	c->ready = false;
	return c;
}
