/* SPDX-License-Identifier: MIT */
/*
 * settings: the values that a configuration consists of.
 */
#ifndef ECHOD_SETTINGS_H
#define ECHOD_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

#define CONF_LISTEN_MAX 64

/* Times are in seconds, sizes in bytes; 0 means "none" or "automatic". */
struct conf {
	bool has_file; /* it was read from a file, which may not be missing again */
	struct address listen[CONF_LISTEN_MAX];
	size_t n_listen;
	int64_t workers;
	int64_t backlog;
	int64_t max_connections;
	int64_t max_connections_per_source; /* below 0: a percentage of max_connections */
	int64_t connection_rate_per_source;
	int64_t connection_burst_per_source;
	int64_t idle_timeout;
	int64_t stall_timeout;
	int64_t shutdown_timeout;
	int64_t buffer_size;
	int64_t pending_memory;
	int64_t receive_buffer;
	int64_t send_buffer;
	int64_t tcp_nodelay;
	int64_t tcp_keepalive;
	int64_t hand_over;
	int64_t system_call_filter;
	int64_t log_level;
};

#endif
