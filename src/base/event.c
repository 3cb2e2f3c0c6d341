#include "base/event.h"

#include <syslog.h>

/* clang-format off */
const struct event_kind event_kinds[EVENTS] = {
	[EVENT_LISTENING] = {
		"66520c593081401aab30fe763d3eb2ac", "listening", LOG_INFO },
	[EVENT_READY] = {
		"3c04cb765be04486a6019e5e0088f536", "ready", LOG_INFO },
	[EVENT_STOPPING] = {
		"4d03cca49b624e929b6d8cc2ad7984df", "stopping", LOG_INFO },
	[EVENT_STOPPED] = {
		"cbeadd55b4224ab493c8696d3fe437d8", "stopped", LOG_INFO },
	[EVENT_START_FAILED] = {
		"f45b9921a1964db8b49d3033b2c2cd4c", "start_failed", LOG_ERR },
	[EVENT_BIND_FAILED] = {
		"aa2e8e7d96ce4a77b03df33c2903dea9", "bind_failed", LOG_ERR },
	[EVENT_NO_IPV6] = {
		"36496b94db81419a9283401e68572c80", "no_ipv6", LOG_WARNING },
	[EVENT_CONFIGURATION_REFUSED] = {
		"b5756aac656647e69cee2a2b8b6f2982", "configuration_refused", LOG_ERR },
	[EVENT_RELOADED] = {
		"401cd64d415d48a4a6249161c64bd104", "reloaded", LOG_INFO },
	[EVENT_RELOAD_REFUSED] = {
		"b05145e4da8f4a3bafc91f09b780a955", "reload_refused", LOG_ERR },
	[EVENT_OPTION_KEPT] = {
		"0827082a1b15456a9c53ba41d1fd80e8", "option_kept", LOG_WARNING },
	[EVENT_CONNECTIONS_LIMITED] = {
		"6f872a2a8c0545038267cfc69dd26ac7", "connections_limited", LOG_WARNING },
	[EVENT_REFUSED] = {
		"980b9dcc98d840c59532b70e3305c0fc", "refused", LOG_WARNING },
	[EVENT_PAUSED] = {
		"7d3c6d4f95f64684ad2d772242647ecb", "paused", LOG_WARNING },
	[EVENT_LISTENER_FAILED] = {
		"a71aab91c51947e6a1cc0fd646e6c673", "listener_failed", LOG_WARNING },
	[EVENT_COUNTERS] = {
		"8bc58b701f8c4f6ab6fda021dfb8a0dc", "counters", LOG_INFO },
	[EVENT_LINES_LOST] = {
		"0530f2fe8c0841f8932aff87d82c8be5", "lines_lost", LOG_WARNING },
	[EVENT_HANDING_OVER] = {
		"2eb5e9cae5bd4102a29b2e90bf51438f", "handing_over", LOG_INFO },
	[EVENT_HAND_OVER_FAILED] = {
		"e2833180cfa24c0ca1124df9568eca3a", "hand_over_failed", LOG_ERR },
	[EVENT_RESTART_UNKNOWN] = {
		"59ea86e5da264484b17b7677d3f25bc4", "restart_unknown", LOG_WARNING },
	[EVENT_RESTARTS_DROP] = {
		"a4b9c852bb814198822e2ec31b756ca3", "restarts_drop", LOG_WARNING },
	[EVENT_TAKEN_OVER] = {
		"e21792ad155a4717b0e90f71ce014966", "taken_over", LOG_INFO },
	[EVENT_TAKE_OVER_FAILED] = {
		"7f2fbaeacee64eb1985e5dd79845ddf0", "take_over_failed", LOG_ERR },
	[EVENT_CONNECTIONS_LOST] = {
		"532cd38d4455418cb753d17fbbc8f515", "connections_lost", LOG_WARNING },
	[EVENT_DESCRIPTOR_REFUSED] = {
		"d940e4f67b4f4aa7bbd31b5d717f0d5d", "descriptor_refused", LOG_WARNING },
	[EVENT_SOCKET_MISSING] = {
		"016c9c32da0d4aabaf748c817e2ed967", "socket_missing", LOG_ERR },
	[EVENT_THREAD_STUCK] = {
		"48f75842c61d403f9bc94b87aec6c844", "thread_stuck", LOG_ERR },
	[EVENT_ABORTING] = {
		"a870f5652fbe4d45acdcd6ff52953e7b", "aborting", LOG_ERR },
	[EVENT_SYSTEM_CALL_FORBIDDEN] = {
		"4e4949198dea408492530347f3ee35fc", "system_call_forbidden", LOG_ERR },
};
/* clang-format on */
