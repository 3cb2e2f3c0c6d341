/*
 * event: the kinds of things that happen to the service.
 *
 * A record in the journal names its kind by MESSAGE_ID, for which
 * systemd/echod.catalog has the explanation, and by ECHOD_EVENT.  Scripts and
 * filters rely on both: an id or a name is never given to another kind, and
 * never changed.  A new one comes from "systemd-id128 new"; it needs its entry
 * in the catalog and in echod.journal(7).
 */
#ifndef ECHOD_EVENT_H
#define ECHOD_EVENT_H

enum event {
	EVENT_LISTENING,
	EVENT_READY,
	EVENT_STOPPING,
	EVENT_STOPPED,
	EVENT_START_FAILED,
	EVENT_BIND_FAILED,
	EVENT_NO_IPV6,
	EVENT_CONFIGURATION_REFUSED,
	EVENT_RELOADED,
	EVENT_RELOAD_REFUSED,
	EVENT_OPTION_KEPT,
	EVENT_CONNECTIONS_LIMITED,
	EVENT_REFUSED,
	EVENT_PAUSED,
	EVENT_LISTENER_FAILED,
	EVENT_COUNTERS,
	EVENT_LINES_LOST,
	EVENT_HANDING_OVER,
	EVENT_HAND_OVER_FAILED,
	EVENT_RESTART_UNKNOWN,
	EVENT_RESTARTS_DROP,
	EVENT_TAKEN_OVER,
	EVENT_TAKE_OVER_FAILED,
	EVENT_CONNECTIONS_LOST,
	EVENT_DESCRIPTOR_REFUSED,
	EVENT_SOCKET_MISSING,
	EVENT_THREAD_STUCK,
	EVENT_ABORTING,
	EVENT_SYSTEM_CALL_FORBIDDEN,
	EVENTS
};

struct event_kind {
	const char *id;	  /* 128 bits in hexadecimal */
	const char *name; /* for people and scripts */
	int level;	  /* as in syslog(3) */
};

/* Indexed by enum event. */
extern const struct event_kind event_kinds[EVENTS];

#endif
