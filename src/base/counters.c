/* SPDX-License-Identifier: MIT */
#include "base/counters.h"

const char *const refusal_names[REFUSALS] = {
	[REFUSED_MAX_CONNECTIONS] = "max_connections",
	[REFUSED_MAX_CONNECTIONS_PER_SOURCE] = "max_connections_per_source",
	[REFUSED_CONNECTION_RATE_PER_SOURCE] = "connection_rate_per_source",
	[REFUSED_RESOURCES] = "resources",
};

const char *const closing_names[CLOSINGS] = {
	[CLOSED_BY_CLIENT] = "client",	   [CLOSED_BY_ERROR] = "error",
	[CLOSED_IDLE] = "idle_timeout",	   [CLOSED_STALLED] = "stall_timeout",
	[CLOSED_BY_SHUTDOWN] = "shutdown",
};
