/* SPDX-License-Identifier: MIT */
/*
 * Start: listeners (the likeliest to fail, so before any thread), connections of
 * a predecessor, workers, acceptor, the filter of system calls, READY.
 *
 * Reload: the new configuration is read beside the running one and the new
 * listeners are opened; nothing changes until nothing can fail any more.
 *
 * SIGTERM: the service manager is asked whether a restart follows; until it has
 * answered, all is served.  If so, everything goes to the next process (handover.h).
 *
 * Stop: the acceptor ends first, so that no worker gets another connection; then
 * the workers drain.  After shutdown_timeout, or at a second signal, all is closed.
 */
#include "supervisor/server.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/confine.h"
#include "base/log.h"
#include "base/process.h"
#include "base/trace.h"
#include "base/writer.h"
#include "listen/listen.h"
#include "reactor/reactor.h"
#include "restart/handover.h"
#include "restart/rescue.h"
#include "restart/takeover.h"
#include "supervisor/report.h"
#include "supervisor/watch.h"
#include "systemd/notify.h"

/* The limit of descriptors, beside max_connections; unused records take addresses only. */
#define DESCRIPTORS_BESIDE (1 << 20)

/* Standard streams, log, signalfd, eventfds, a configuration file, some spare. */
#define DESCRIPTORS_OWN 24

/* An epoll instance, an eventfd, a pipe's two ends, and one that it closes and counts no more. */
#define DESCRIPTORS_OF_WORKER 5

/* How long a repair waits for an acceptor that has not taken yet what it was given last. */
#define REPAIR_SOON_MS 100

/* For threads to close all.  On a starved machine a round can take seconds. */
#define ABORT_MS 4000

struct server {
	struct conf conf;
	struct conf_source source;
	uint32_t descriptors; /* how many we may have */
	int signal_fd;
	struct listeners listeners;
	struct reactor reactor;
	struct watch watch;
};

static struct server server; /* not on main's stack, which may be small, see thread.c */

static int exit_status(int error)
{
	if (error == -ENOENT) /* no listener was passed */
		return EX_CONFIG;
	if (error == -EACCES || error == -EPERM)
		return EX_NOPERM;
	return EX_OSERR;
}

/* The effective limit: what is configured, if the limit of descriptors allows it. */
static int64_t max_connections(const struct server *s)
{
	int64_t room = (int64_t)s->descriptors - DESCRIPTORS_OWN -
		       DESCRIPTORS_OF_WORKER * (int64_t)s->reactor.shared.n_workers -
		       (int64_t)s->listeners.n;

	return s->conf.max_connections && s->conf.max_connections < room ? s->conf.max_connections :
									   room;
}

/* Applies the settings that a reload can change. */
static void apply(struct server *s)
{
	int64_t max = max_connections(s);

	log_set_level((enum log_level)s->conf.log_level);
	if (s->conf.max_connections > max)
		log_event(EVENT_CONNECTIONS_LIMITED,
			  FIELDS(FIELD_NUMBER("ECHOD_WANTED", s->conf.max_connections),
				 FIELD_NUMBER("ECHOD_MAX_CONNECTIONS", max),
				 FIELD_NUMBER("ECHOD_DESCRIPTORS", s->descriptors)),
			  "max_connections is %" PRId64 ", but %u descriptors allow only %" PRId64,
			  s->conf.max_connections, s->descriptors, max);
	reactor_set(&s->reactor, &s->conf, max);
	rescue_allow(s->conf.hand_over);
}

static void set_listeners(struct server *s)
{
	struct acceptor_set set = { .n = 0 };

	for (size_t i = 0; i < s->listeners.n; i++)
		if (s->listeners.at[i].fd >= 0)
			set.fds[set.n++] = s->listeners.at[i].fd;
	acceptor_listen(&s->reactor.acceptor, &set);
}

/* True if a restart may hand over. */
static bool may_hand_over(const struct server *s)
{
	return s->conf.hand_over && notify_is_managed();
}

/* Ends the process without its threads, of which some cannot be joined. */
static noreturn void exit_without_threads(void)
{
	log_flush(LOG_FLUSH_ERROR_MS);
	_exit(EX_SOFTWARE);
}

static void say_ready(struct server *s, const char *remark)
{
	notify_ready(watch_status(&s->watch, remark));
}

/* Repairs listeners that have failed, if that is due. */
static void repair(struct server *s)
{
	int fd = -1, error = acceptor_failure(&s->reactor.acceptor, &fd);

	if (!error && clock_ms() < s->listeners.due)
		return;
	if (s->reactor.acceptor.pending) /* it would make us wait */
		s->listeners.due = clock_ms() + REPAIR_SOON_MS;
	else if (listen_repair(&s->listeners, &s->conf, fd, error))
		set_listeners(s);
	notify_status(watch_status(&s->watch, listen_remark(&s->listeners)));
}

static bool refuse_reload(const char *why)
{
	log_event(EVENT_RELOAD_REFUSED, FIELDS(FIELD("ECHOD_ERROR", why)),
		  "reload refused, keeping the running configuration: %s", why);
	return false;
}

static void log_kept(const char *option)
{
	log_event(EVENT_OPTION_KEPT, FIELDS(FIELD("ECHOD_OPTION", option)),
		  "reload: %s takes effect at the next restart", option);
}

/* Reads the configuration anew and puts it in force; or changes nothing, logs why, false. */
static bool load_again(struct server *s)
{
	static struct conf next; /* static: main's stack may be small, see thread.c */
	static struct problems problems;
	static struct listeners listeners;
	struct conf_source source = s->source;

	if (!reactor_settle(&s->reactor)) /* it would make us wait when it gets listeners */
		return refuse_reload("the acceptor does not answer");
	if (s->conf.has_file) /* the defaults are not meant if it is gone */
		source.may_be_missing = false;
	if (conf_load(&next, &source, &problems) < 0) {
		refuse_reload(problems.text[0]);
		problems_log(&problems, 1); /* the others in records of their own */
		return false;
	}
	conf_keep_fixed(&next, &s->conf, log_kept);
	if (listen_prepare(&s->listeners, &next, &listeners) < 0)
		return refuse_reload("an address cannot be opened");
	s->conf = next;
	listen_adopt(&s->listeners, &next, &listeners);
	set_listeners(s); /* the acceptor closes those that are gone */
	apply(s);
	return true;
}

static void reload(struct server *s)
{
	bool could_hand_over = may_hand_over(s);

	notify_reloading();
	if (!load_again(s)) {
		say_ready(s, "the last reload was refused");
		return;
	}
	if (!may_hand_over(s))
		job_cancel(&s->watch.job);
	else if (!could_hand_over)
		watch_ask_ahead(&s->watch);
	log_event(EVENT_RELOADED, NULL, "reloaded");
	say_ready(s, listen_remark(&s->listeners));
}

static void stop(struct server *s, bool hurried)
{
	struct reactor *r = &s->reactor;

	log_event(EVENT_STOPPING, NULL, "stopping");
	listen_forget();
	hurried = hurried || !watch_end(&s->watch, s->conf.shutdown_timeout * 1000, false);
	if (hurried && !watch_end(&s->watch, ABORT_MS, true)) {
		reactor_reset_all(r);
		log_error("threads do not end: exiting without them");
		exit_without_threads();
	}
	reactor_join(r);
	report_counters(EVENT_STOPPED, "stopped, counters", r);
}

/* Serves until a signal to end comes. */
static void serve(struct server *s)
{
	int signal;

	do {
		signal = watch_signal(&s->watch, s->listeners.due);
		repair(s);
		if (signal == SIGHUP)
			reload(s);
	} while (!signal || signal == SIGHUP);
}

static void deinit(struct server *s)
{
	job_cancel(&s->watch.job);
	reactor_deinit(&s->reactor);
	if (s->signal_fd >= 0)
		close(s->signal_fd);
}

int server_run(void)
{
	struct server *s = &server;
	bool hands_over, hurried = false;

	if (may_hand_over(s))
		watch_ask_ahead(&s->watch);
	serve(s);
	notify_stopping(s->conf.shutdown_timeout * 1000 + WATCH_ASKING_MS);
	hands_over = may_hand_over(s) && watch_is_restart(&s->watch, &hurried);
	rescue_end(hands_over);
	if (!hands_over)
		stop(s, hurried);
	else if (handover_run(&s->reactor) > 0)
		exit_without_threads();
	else
		reactor_join(&s->reactor);
	deinit(s);
	return EX_OK;
}

static void begin_writer(void)
{
	confine_enter(CALLS_OF_IO, "log");
}

/* Everything that serves.  0, or -errno with nothing left running. */
static int start(struct server *s, struct activation *activation, bool trace)
{
	struct takeover takeover;
	int r;

	r = confine_init(s->conf.system_call_filter);
	if (r < 0)
		return r;
	r = writer_start(begin_writer);
	if (r < 0)
		return r;
	s->signal_fd = process_open_signals();
	if (s->signal_fd < 0)
		return s->signal_fd;
	if (trace)
		trace_init();
	s->descriptors =
		process_raise_descriptors((uint32_t)s->conf.max_connections + DESCRIPTORS_BESIDE);
	r = reactor_init(&s->reactor, &s->conf, s->descriptors, trace);
	if (r == 0 && max_connections(s) < 1)
		r = -EMFILE;
	if (r < 0)
		return r;
	apply(s);
	takeover = takeover_run(&s->reactor, activation);
	r = rescue_start(&s->reactor);
	if (r < 0)
		return r;
	r = reactor_start(&s->reactor);
	if (r < 0)
		return r;
	takeover_log(&takeover);
	watch_start(&s->watch, &s->reactor, s->signal_fd);
	rescue_begin();
	confine_enter(CALLS_OF_CONTROL, "echod");
	return 0;
}

int server_start(const struct conf *conf, const struct server_options *options)
{
	static struct activation activation; /* static as the server is */
	struct server *s = &server;
	int r;

	memset(s, 0, sizeof(*s));
	s->conf = *conf;
	s->source = options->source;
	s->signal_fd = -1;
	log_set_level((enum log_level)conf->log_level);
	process_check_privileges();
	activation_sort(&activation);
	r = listen_start(&s->listeners, &activation, conf, options->only_passed);
	if (r < 0)
		goto fail;
	r = start(s, &activation, options->trace);
	if (r < 0) {
		log_event(EVENT_START_FAILED, FIELDS(FIELD_ERRNO(-r)), "cannot start: %s",
			  strerrordesc_np(-r));
		listen_close(&s->listeners);
		goto fail;
	}
	set_listeners(s); /* they are the acceptor's now */
	log_event(EVENT_READY,
		  FIELDS(FIELD_NUMBER("ECHOD_WORKERS", s->reactor.shared.n_workers),
			 FIELD_NUMBER("ECHOD_MAX_CONNECTIONS", max_connections(s))),
		  "ready: %u workers, at most %" PRId64 " connections", s->reactor.shared.n_workers,
		  max_connections(s));
	say_ready(s, NULL);
	return 0;
fail:
	notify_failed(r);
	deinit(s);
	return exit_status(r);
}
