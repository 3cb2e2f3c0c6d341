/*
 * table: the connections, indexed by descriptor.
 *
 * One anonymous mapping, as large as descriptors can get; the kernel gives
 * memory to the pages that are touched, so it follows the connections and not
 * the limit.  Index 0 is never a connection (it is standard input), so 0 says
 * "no one" in links.
 *
 * Any thread may look up a record; who may use it is said in connection.h.
 */
#ifndef ECHOD_TABLE_H
#define ECHOD_TABLE_H

#include <stdint.h>

#include "echo/connection.h"

struct table {
	struct connection *records;
	uint32_t size; /* descriptors below this one have a record */
};

/* 0, or -ENOMEM. */
int table_init(struct table *table, uint32_t size);

/* May be called twice.  The connections are not closed. */
void table_deinit(struct table *table);

static inline struct connection *table_at(const struct table *table, uint32_t index)
{
	return &table->records[index];
}

static inline uint32_t table_index(const struct table *table, const struct connection *c)
{
	return (uint32_t)(c - table->records);
}

#endif
