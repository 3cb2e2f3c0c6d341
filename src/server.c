/*
 * Main's part: it starts everything, waits for signals, and ends everything.
 * It never touches a connection.
 *
 * Start: descriptors, table, listeners (the likeliest to fail, so before any
 * thread), workers, acceptor, READY.
 *
 * Reload: the new configuration is read beside the running one, and the new
 * listeners are opened; only when nothing can fail any more is anything
 * changed.
 *
 * End: the acceptor first, so that no worker gets another connection; then the
 * workers drain.  When all threads have ended, or shutdown_timeout is over, or
 * a second signal comes, what is left is closed.
 */
#include "server.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "acceptor.h"
#include "clock.h"
#include "descriptors.h"
#include "limiter.h"
#include "listeners.h"
#include "log.h"
#include "report.h"
#include "service.h"
#include "table.h"
#include "worker.h"

/* Beyond this, max_connections must ask for more; the table is 64 MiB of addresses. */
#define DESCRIPTORS_UNASKED (1 << 20)

/* Standard streams, log, signalfd, eventfds, a configuration file, some spare. */
#define DESCRIPTORS_OWN 24

struct server {
	struct conf conf;
	const struct conf_source *source;
	int signal_fd;
	int done_fd; /* workers add 1 when they end */
	struct table table;
	struct limiter limiter;
	struct listeners listeners;
	struct acceptor acceptor;
	bool accepting; /* the acceptor runs */
	struct worker *workers;
	unsigned n_workers; /* that were initialized */
	unsigned n_running; /* that have a thread */
	unsigned n_ended;   /* of these, that say they are done */
};

static void signals_of_interest(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR1);
}

void server_block_signals(void)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };
	sigset_t set;

	signals_of_interest(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* nohup(1) and "&" in a script ignore some, and so would the signalfd. */
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
}

static int exit_status(int error)
{
	return error == -EACCES || error == -EPERM ? EX_NOPERM : EX_OSERR;
}

/* How many workers: as configured, or one for each CPU that we may use. */
static unsigned count_workers(const struct conf *conf)
{
	cpu_set_t cpus;

	if (conf->workers)
		return (unsigned)conf->workers;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return 1;
	return (unsigned)CPU_COUNT(&cpus);
}

/* What max_connections means here: what is configured, if descriptors allow it. */
static long max_connections(const struct server *s)
{
	long room =
		(long)s->table.size - DESCRIPTORS_OWN - 2L * s->n_workers - (long)s->listeners.n;

	return s->conf.max_connections && s->conf.max_connections < room ? s->conf.max_connections :
									   room;
}

/* Puts those settings in force that can change while we serve. */
static void apply(struct server *s)
{
	const struct conf *conf = &s->conf;
	struct worker_settings settings = {
		.idle_timeout = conf->idle_timeout,
		.stall_timeout = conf->stall_timeout,
		.pending_memory = conf->pending_memory,
	};
	long max = max_connections(s);

	log_set_level((enum log_level)conf->log_level);
	if (conf->max_connections > max)
		log_warning("max_connections is %ld, but %u descriptors allow only %ld",
			    conf->max_connections, s->table.size, max);
	atomic_store(&s->limiter.settings.max_connections, max);
	atomic_store(&s->limiter.settings.per_source, conf->max_connections_per_source);
	atomic_store(&s->limiter.settings.rate, conf->connection_rate_per_source);
	atomic_store(&s->limiter.settings.burst, conf->connection_burst_per_source);
	for (unsigned i = 0; i < s->n_workers; i++)
		worker_set(&s->workers[i], &settings);
}

static void hand_listeners_over(struct server *s)
{
	struct acceptor_set set = { .n = s->listeners.n };

	for (size_t i = 0; i < set.n; i++)
		set.fds[i] = s->listeners.at[i].fd;
	acceptor_listen(&s->acceptor, &set);
}

static void log_bind_failure(const struct address *address, int error)
{
	char text[ADDRESS_TEXT];
	unsigned port = address_port(address);

	if (error == -EACCES && port > 0 && port < 1024)
		log_error("cannot listen on %s: %s; port %u is below 1024 and needs the capability "
			  "CAP_NET_BIND_SERVICE",
			  address_format(address, text), strerrordesc_np(-error), port);
	else
		log_error("cannot listen on %s: %s", address_format(address, text),
			  strerrordesc_np(-error));
}

/* Opens what conf names beside the listeners that we have.  0 or -errno, logged. */
static int open_listeners(const struct server *s, const struct conf *conf, struct listeners *set)
{
	struct address failed;
	char text[ADDRESS_TEXT];
	int r = listeners_open(set, &s->listeners, conf, &failed);

	if (r < 0) {
		log_bind_failure(&failed, r);
		return r;
	}
	for (size_t i = 0; i < conf->n_listen; i++)
		if (!listeners_contain(set, &conf->listen[i]))
			log_warning("not listening on %s: this kernel has no IPv6",
				    address_format(&conf->listen[i], text));
	return 0;
}

static void log_listeners(const struct listeners *set, const struct listeners *old)
{
	for (size_t i = 0; i < set->n; i++) {
		struct address address;
		char text[ADDRESS_TEXT];

		if (old && listeners_contain(old, &set->at[i].address))
			continue;
		listener_address(&set->at[i], &address);
		log_info("listening on %s", address_format(&address, text));
	}
}

static void log_kept(const char *name)
{
	log_warning("reload: %s stays as it is until a restart", name);
}

static void adopt_configuration(struct server *s, struct conf *next,
				const struct listeners *listeners)
{
	struct listeners old = s->listeners;

	s->conf = *next;
	s->listeners = *listeners;
	for (size_t i = 0; i < listeners->n; i++) {
		int r = listener_configure(&listeners->at[i], next);

		if (r < 0)
			log_warning("reload: cannot set the options of a listener: %s",
				    strerrordesc_np(-r));
	}
	hand_listeners_over(s); /* the acceptor closes those that are gone */
	apply(s);
	log_listeners(listeners, &old);
}

static void reload(struct server *s)
{
	struct conf next;
	struct conf_error error;
	struct listeners listeners;
	struct conf_source source = *s->source;

	service_reloading();
	if (s->conf.has_file) /* a file that is gone is no wish for the defaults */
		source.may_be_missing = false;
	if (conf_load(&next, &source, &error) < 0) {
		log_error("reload refused, all stays as it was: %s", error.text);
		service_ready("Serving; the last reload was refused");
		return;
	}
	conf_keep_fixed(&next, &s->conf, log_kept);
	if (open_listeners(s, &next, &listeners) < 0) {
		log_error("reload refused, all stays as it was");
		service_ready("Serving; the last reload was refused");
		return;
	}
	adopt_configuration(s, &next, &listeners);
	log_info("reloaded");
	service_ready("Serving");
}

static void report(const struct server *s)
{
	char *line = report_counters(&s->acceptor, s->workers, s->n_workers);

	log_info("counters: %s", line ? line : "no memory");
	free(line);
}

/* Waits for a signal, and returns it; 0 if time is up or all workers have ended. */
static int next_signal(struct server *s, int timeout_ms)
{
	struct pollfd p[] = {
		{ .fd = s->signal_fd, .events = POLLIN },
		{ .fd = s->done_fd, .events = POLLIN },
	};
	struct signalfd_siginfo info;
	eventfd_t ended;

	if (poll(p, 2, timeout_ms) <= 0)
		return 0;
	if (p[1].revents && eventfd_read(s->done_fd, &ended) == 0)
		s->n_ended += (unsigned)ended;
	if (p[0].revents && read(s->signal_fd, &info, sizeof(info)) == sizeof(info))
		return (int)info.ssi_signo;
	return 0;
}

/* Waits until all workers have ended.  False if time is up or a signal hurries. */
static bool drained(struct server *s)
{
	int64_t deadline = clock_ms() + s->conf.shutdown_timeout * 1000;

	while (s->n_ended < s->n_running) {
		int64_t left = deadline - clock_ms();
		int signal;

		if (left <= 0)
			return false;
		signal = next_signal(s, (int)left);
		if (signal == SIGTERM || signal == SIGINT)
			return false;
		if (signal == SIGUSR1)
			report(s);
	}
	return true;
}

/* Ends all threads that run, in the order that the essay above gives. */
static void stop(struct server *s)
{
	if (s->accepting)
		acceptor_stop(&s->acceptor);
	s->accepting = false;
	for (unsigned i = 0; i < s->n_running; i++)
		worker_drain(&s->workers[i]);
	if (!drained(s))
		for (unsigned i = 0; i < s->n_running; i++)
			worker_abort(&s->workers[i]);
	for (unsigned i = 0; i < s->n_running; i++)
		worker_join(&s->workers[i]);
	s->n_running = 0;
}

int server_run(struct server *s)
{
	for (;;) {
		int signal = next_signal(s, -1);

		if (signal == SIGHUP)
			reload(s);
		else if (signal == SIGUSR1)
			report(s);
		else if (signal == SIGTERM || signal == SIGINT)
			break;
	}
	log_info("stopping");
	service_stopping();
	stop(s);
	report(s);
	return EX_OK;
}

void server_free(struct server *s)
{
	for (unsigned i = 0; i < s->n_workers; i++)
		worker_deinit(&s->workers[i]);
	if (s->workers)
		acceptor_deinit(&s->acceptor);
	free(s->workers);
	limiter_deinit(&s->limiter);
	table_deinit(&s->table);
	if (s->signal_fd >= 0)
		close(s->signal_fd);
	if (s->done_fd >= 0)
		close(s->done_fd);
	free(s);
}

/* Main's own descriptors, the table and the limiter.  0 or -errno. */
static int make_base(struct server *s)
{
	long wanted = s->conf.max_connections + DESCRIPTORS_OWN + 2 * 256 + CONF_LISTEN_MAX;
	uint32_t descriptors = descriptors_raise(
		(uint32_t)(wanted > DESCRIPTORS_UNASKED ? wanted : DESCRIPTORS_UNASKED));
	sigset_t signals;
	int r;

	signals_of_interest(&signals);
	s->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	s->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->signal_fd < 0 || s->done_fd < 0)
		return -errno;
	r = table_init(&s->table, descriptors);
	if (r == 0)
		r = limiter_init(&s->limiter, 2 * (size_t)descriptors);
	return r;
}

/* Workers and acceptor, without their threads.  0 or -errno. */
static int make_threads(struct server *s, bool trace)
{
	unsigned n = count_workers(&s->conf);
	struct acceptor_config acceptor;
	int r;

	s->workers = aligned_alloc(64, n * sizeof(*s->workers));
	if (!s->workers)
		return -ENOMEM;
	acceptor = (struct acceptor_config){ s->workers, n, &s->table, &s->limiter, trace };
	r = acceptor_init(&s->acceptor, &acceptor);
	for (unsigned i = 0; i < n && r == 0; i++) {
		struct worker_config worker = { i,	    (size_t)s->conf.buffer_size,
						&s->table,  &s->limiter,
						s->done_fd, trace };

		r = worker_init(&s->workers[i], &worker);
		if (r == 0)
			s->n_workers++;
	}
	return r;
}

/* 0 or -errno. */
static int start_threads(struct server *s)
{
	int r = 0;

	apply(s);
	while (s->n_running < s->n_workers && r == 0) {
		r = worker_start(&s->workers[s->n_running]);
		if (r == 0)
			s->n_running++;
	}
	if (r == 0)
		r = acceptor_start(&s->acceptor);
	if (r < 0)
		return r;
	s->accepting = true;
	hand_listeners_over(s);
	return 0;
}

/* Logs what failed and returns the exit status. */
static int give_up(struct server *s, int error, const char *what)
{
	log_error("cannot %s: %s", what, strerrordesc_np(-error));
	listeners_close(&s->listeners, NULL); /* the acceptor did not get them */
	stop(s);
	server_free(s);
	return exit_status(error);
}

int server_start(struct server **server, const struct conf *conf, const struct conf_source *source,
		 bool trace)
{
	struct server *s = calloc(1, sizeof(*s));
	struct listeners listeners;
	int r;

	if (!s)
		return EX_OSERR;
	s->conf = *conf;
	s->source = source;
	s->signal_fd = s->done_fd = -1;
	r = make_base(s);
	if (r < 0)
		return give_up(s, r, "start");
	r = open_listeners(s, conf, &listeners);
	if (r < 0) {
		server_free(s);
		return exit_status(r);
	}
	s->listeners = listeners;
	r = make_threads(s, trace);
	if (r == 0 && max_connections(s) < 1)
		r = -EMFILE;
	if (r == 0)
		r = start_threads(s);
	if (r < 0)
		return give_up(s, r, "start the threads");
	log_listeners(&s->listeners, NULL);
	log_info("ready: %u workers, at most %ld connections", s->n_workers, max_connections(s));
	service_ready("Serving");
	*server = s;
	return 0;
}
