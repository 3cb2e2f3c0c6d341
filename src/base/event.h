/* SPDX-License-Identifier: MIT */
/*
 * event: the events in the life of the service that the journal can tell apart.
 *
 * A record names its event by MESSAGE_ID, for which systemd/echod.catalog has an
 * explanation, and by ECHOD_EVENT.  Scripts and filters rely on both: an id or a name
 * is never given to another event, and never changed.  A new id comes from
 * "systemd-id128 new"; the event needs its entry in the catalog and in echod.journal(7).
 */
#ifndef ECHOD_EVENT_H
#define ECHOD_EVENT_H

/* The values are those of syslog(3), which the journal understands. */
enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

struct event {
	enum log_level level;
	const char *name; /* NULL: a line of the log that is no event */
	const char *id;	  /* 128 bits in hexadecimal */
};

#define EVENT(level, name, id) ((struct event){ LOG_LEVEL_##level, name, id })

#define EVENT_LISTENING EVENT(INFO, "listening", "66520c593081401aab30fe763d3eb2ac")
#define EVENT_READY EVENT(INFO, "ready", "3c04cb765be04486a6019e5e0088f536")
#define EVENT_STOPPING EVENT(INFO, "stopping", "4d03cca49b624e929b6d8cc2ad7984df")
#define EVENT_STOPPED EVENT(INFO, "stopped", "cbeadd55b4224ab493c8696d3fe437d8")
#define EVENT_START_FAILED EVENT(ERROR, "start_failed", "f45b9921a1964db8b49d3033b2c2cd4c")
#define EVENT_BIND_FAILED EVENT(ERROR, "bind_failed", "aa2e8e7d96ce4a77b03df33c2903dea9")
#define EVENT_NO_IPV6 EVENT(WARNING, "no_ipv6", "36496b94db81419a9283401e68572c80")
#define EVENT_CONFIGURATION_REFUSED \
	EVENT(ERROR, "configuration_refused", "b5756aac656647e69cee2a2b8b6f2982")
#define EVENT_RELOADED EVENT(INFO, "reloaded", "401cd64d415d48a4a6249161c64bd104")
#define EVENT_RELOAD_REFUSED EVENT(ERROR, "reload_refused", "b05145e4da8f4a3bafc91f09b780a955")
#define EVENT_OPTION_KEPT EVENT(WARNING, "option_kept", "0827082a1b15456a9c53ba41d1fd80e8")
#define EVENT_CONNECTIONS_LIMITED \
	EVENT(WARNING, "connections_limited", "6f872a2a8c0545038267cfc69dd26ac7")
#define EVENT_REFUSED EVENT(WARNING, "refused", "980b9dcc98d840c59532b70e3305c0fc")
#define EVENT_PAUSED EVENT(WARNING, "paused", "7d3c6d4f95f64684ad2d772242647ecb")
#define EVENT_LISTENER_FAILED EVENT(WARNING, "listener_failed", "a71aab91c51947e6a1cc0fd646e6c673")
#define EVENT_COUNTERS EVENT(INFO, "counters", "8bc58b701f8c4f6ab6fda021dfb8a0dc")
#define EVENT_LINES_LOST EVENT(WARNING, "lines_lost", "0530f2fe8c0841f8932aff87d82c8be5")
#define EVENT_HANDING_OVER EVENT(INFO, "handing_over", "2eb5e9cae5bd4102a29b2e90bf51438f")
#define EVENT_HAND_OVER_FAILED EVENT(ERROR, "hand_over_failed", "e2833180cfa24c0ca1124df9568eca3a")
#define EVENT_RESTART_UNKNOWN EVENT(WARNING, "restart_unknown", "59ea86e5da264484b17b7677d3f25bc4")
#define EVENT_RESTARTS_DROP EVENT(WARNING, "restarts_drop", "a4b9c852bb814198822e2ec31b756ca3")
#define EVENT_TAKEN_OVER EVENT(INFO, "taken_over", "e21792ad155a4717b0e90f71ce014966")
#define EVENT_TAKE_OVER_FAILED EVENT(ERROR, "take_over_failed", "7f2fbaeacee64eb1985e5dd79845ddf0")
#define EVENT_CONNECTIONS_LOST \
	EVENT(WARNING, "connections_lost", "532cd38d4455418cb753d17fbbc8f515")
#define EVENT_DESCRIPTOR_REFUSED \
	EVENT(WARNING, "descriptor_refused", "d940e4f67b4f4aa7bbd31b5d717f0d5d")
#define EVENT_SOCKET_MISSING EVENT(ERROR, "socket_missing", "016c9c32da0d4aabaf748c817e2ed967")
#define EVENT_THREAD_STUCK EVENT(ERROR, "thread_stuck", "48f75842c61d403f9bc94b87aec6c844")
#define EVENT_ABORTING EVENT(ERROR, "aborting", "a870f5652fbe4d45acdcd6ff52953e7b")
#define EVENT_SYSTEM_CALL_FORBIDDEN \
	EVENT(ERROR, "system_call_forbidden", "4e4949198dea408492530347f3ee35fc")

#endif
