/*
 * settings: the values that a configuration consists of.
 */
#ifndef ECHOD_SETTINGS_H
#define ECHOD_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "address.h"

#define CONF_LISTEN_MAX 64

/* Times are in seconds, sizes in bytes; 0 means "none" or "automatic". */
struct conf {
	bool has_file; /* it was read from a file, which may not be missing again */
	struct address listen[CONF_LISTEN_MAX];
	size_t n_listen;
	long workers;
	long backlog;
	long max_connections;
	long max_connections_per_source;
	long connection_rate_per_source;
	long connection_burst_per_source;
	long idle_timeout;
	long stall_timeout;
	long shutdown_timeout;
	long buffer_size;
	long pending_memory;
	long receive_buffer;
	long send_buffer;
	long tcp_nodelay;
	long tcp_keepalive;
	long hand_over;
	long system_call_filter;
	long log_level;
};

#endif
