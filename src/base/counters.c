#include "base/counters.h"

const char *refusal_name(enum refusal refusal)
{
	static const char *const names[REFUSALS] = {
		[REFUSED_MAX_CONNECTIONS] = "max_connections",
		[REFUSED_MAX_CONNECTIONS_PER_SOURCE] = "max_connections_per_source",
		[REFUSED_CONNECTION_RATE_PER_SOURCE] = "connection_rate_per_source",
		[REFUSED_RESOURCES] = "resources",
	};

	return names[refusal];
}

const char *closing_name(enum closing closing)
{
	static const char *const names[CLOSINGS] = {
		[CLOSED_BY_CLIENT] = "client",	   [CLOSED_BY_ERROR] = "error",
		[CLOSED_IDLE] = "idle_timeout",	   [CLOSED_STALLED] = "stall_timeout",
		[CLOSED_BY_SHUTDOWN] = "shutdown",
	};

	return names[closing];
}
