#include "reactor/table.h"

#include <errno.h>
#include <sys/mman.h>

static size_t bytes(uint32_t size)
{
	return size * sizeof(struct connection);
}

int table_init(struct table *table, uint32_t size)
{
	void *memory = mmap(NULL, bytes(size), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
	table->records = memory;
	table->size = size;
	return 0;
}

void table_deinit(struct table *table)
{
	if (table->records)
		munmap(table->records, bytes(table->size));
	table->records = NULL;
	table->size = 0;
}
