/* SPDX-License-Identifier: MIT */
#include "listen/listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "systemd/fdstore.h"
#include "systemd/notify.h"

/* From the failure of a listener to the next try, at first and at most. */
#define DELAY_MS 1000
#define DELAY_MAX_MS 60000

/* left_out: there are others, and this kernel has no IPv6. */
static void log_bind_failure(const struct address *address, int error, bool left_out)
{
	static const char advice[] =
		"; port %u is below 1024 and needs the capability CAP_NET_BIND_SERVICE";
	char text[ADDRESS_TEXT], more[sizeof(advice) + 8] = "";
	unsigned port = address_port(address);

	if (error == -EACCES && port > 0 && port < 1024)
		snprintf(more, sizeof(more), advice, port);
	address_format(address, text);
	if (left_out)
		log_event(EVENT_NO_IPV6, FIELDS(FIELD("ECHOD_ADDRESS", text)),
			  "not listening on %s: this kernel has no IPv6", text);
	else
		log_event(EVENT_BIND_FAILED,
			  FIELDS(FIELD("ECHOD_ADDRESS", text), FIELD_ERRNO(-error)),
			  "cannot listen on %s: %s%s", text, strerrordesc_np(-error), more);
}

/* Says where we listen, and whether the kernel lets the queue be as long as configured. */
static void log_listener(const struct listener *listener, const struct conf *conf, const char *how)
{
	int queue = listener_queue(listener);
	char text[ADDRESS_TEXT], more[48] = "";

	if (queue >= 0 && queue < conf->backlog)
		snprintf(more, sizeof(more), ", with a queue of %d only", queue);
	address_format(&listener->bound, text);
	log_event(EVENT_LISTENING, FIELDS(FIELD("ECHOD_ADDRESS", text)), "listening on %s%s%s",
		  text, how, more);
}

static void log_failure(const struct listener *listener, const char *why, const char *what_now)
{
	char text[ADDRESS_TEXT];

	address_format(&listener->bound, text);
	log_event(EVENT_LISTENER_FAILED,
		  FIELDS(FIELD("ECHOD_ADDRESS", text), FIELD("ECHOD_ERROR", why)),
		  "the listener on %s failed: %s; %s", text, why, what_now);
}

/* True, and it is logged, if the listener has ended since the last look. */
static bool log_end(const struct listener *listener, const char *what_now)
{
	if (listener->fd < 0 || listener_is_alive(listener))
		return false;
	log_failure(listener, "it was shut down by another process", what_now);
	return true;
}

/* The one for this address as configured, or NULL. */
static const struct listener *find(const struct listeners *set, const struct address *address)
{
	for (size_t i = 0; i < set->n; i++)
		if (address_equal(&set->at[i].address, address))
			return &set->at[i];
	return NULL;
}

static bool contains(const struct listeners *set, int fd)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->at[i].fd == fd)
			return true;
	return false;
}

void listen_close(const struct listeners *set)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->at[i].fd >= 0)
			close(set->at[i].fd);
}

/*
 * False if it does not listen any more, or if it does on an interface that is
 * gone while another one has its name.  If none has that name, the listener
 * stays: it does no harm, and another could not be opened.
 */
static bool is_good(const struct listener *listener)
{
	struct address now;

	if (!listener_is_alive(listener))
		return false;
	return address_resolve(&listener->address, &now) < 0 || now.any.sa_family != AF_INET6 ||
	       now.v6.sin6_scope_id == listener->bound.v6.sin6_scope_id;
}

/* Adds the listener for this address, with the port that it had if it has failed. */
static int add(struct listeners *set, const struct listeners *old, const struct address *address,
	       const struct conf *conf)
{
	struct listener *new = &set->at[set->n];
	const struct listener *was = find(old, address);
	int r = 0;

	if (was)
		log_end(was, "opening it again");
	if (was && is_good(was)) {
		*new = *was;
	} else {
		r = listener_open(new, address, address_port(was ? &was->bound : address), conf);
		new->opened = was ? ", again" : "";
	}
	if (r < 0 && was) {
		log_bind_failure(address, r, false);
		*new = *was;
		new->fd = -1;
		r = 0;
	}
	set->n += r == 0;
	return r;
}

static int open_all(struct listeners *set, const struct listeners *old, const struct conf *conf)
{
	*set = *old;
	set->n = 0;
	for (size_t i = 0; i < conf->n_listen; i++) {
		const struct address *address = &conf->listen[i];
		bool others = set->n > 0 || i + 1 < conf->n_listen;
		int r = add(set, old, address, conf);
		bool left_out = r == -EAFNOSUPPORT && address->any.sa_family == AF_INET6 && others;

		if (r < 0)
			log_bind_failure(address, r, left_out);
		if (r == 0 || left_out)
			continue;
		for (size_t j = 0; j < set->n; j++)
			if (set->at[j].opened)
				close(set->at[j].fd);
		return r;
	}
	return 0;
}

/* Something has failed: to be tried again the later, the more often that was in vain. */
static void schedule(struct listeners *set)
{
	int64_t now = clock_ms();

	if (now > set->failed + 2 * set->delay)
		set->delay = DELAY_MS;
	else
		set->delay = MIN(2 * set->delay, DELAY_MAX_MS);
	set->failed = now;
	set->due = now + set->delay;
}

/* New ones have their options, and are logged; old ones get them, and are logged if `how`. */
static void put_in_force(struct listeners *set, const struct conf *conf, const char *how)
{
	for (size_t i = 0; i < set->n; i++) {
		struct listener *l = &set->at[i];
		int r = l->opened || !listener_is_alive(l) ? 0 : listener_configure(l, conf);

		if (r < 0)
			log_warning("cannot set the options of a listener: %s",
				    strerrordesc_np(-r));
		if (l->fd >= 0 && (l->opened || how))
			log_listener(l, conf, l->opened ? l->opened : how);
		l->opened = NULL;
	}
	set->due = INT64_MAX;
	if (contains(set, -1))
		schedule(set);
}

/*
 * Stores what is not stored yet, for the manager compares; or, if conf does not
 * want that or something else is stored too, removes all first.
 */
static void store(const struct listeners *set, const struct conf *conf, bool anew)
{
	if (set->passed)
		return;
	if (anew || !conf->hand_over)
		fdstore_remove(FDSTORE_LISTENER, -1);
	for (size_t i = 0; i < set->n && conf->hand_over; i++)
		if (set->at[i].fd >= 0)
			(void)fdstore_add(FDSTORE_LISTENER, -1, set->at[i].fd);
}

/* Moves the stored listener that is bound to this address, to any port if it has 0. */
static void claim(struct listeners *claimed, struct listeners *stored,
		  const struct address *address)
{
	struct address resolved;

	if (address_resolve(address, &resolved) < 0)
		return;
	for (size_t i = 0; i < stored->n; i++) {
		struct listener *listener = &stored->at[i];

		if (address_port(address) == 0)
			address_set_port(&resolved, address_port(&listener->bound));
		if (!address_equal(&listener->bound, &resolved))
			continue;
		listener->address = *address;
		claimed->at[claimed->n++] = *listener;
		*listener = stored->at[--stored->n];
		return;
	}
}

/*
 * Puts the stored listeners that conf names into claimed: those of a port
 * before those of any.  Closes the others, because their addresses may overlap
 * with those that are opened next; as may those of others that were refused.
 */
static void claim_all(struct listeners *claimed, const struct activation *a,
		      const struct conf *conf)
{
	struct listeners stored = a->stored;

	memset(claimed, 0, sizeof(*claimed));
	for (int any_port = 0; any_port < 2; any_port++)
		for (size_t i = 0; i < conf->n_listen; i++)
			if ((address_port(&conf->listen[i]) == 0) == any_port)
				claim(claimed, &stored, &conf->listen[i]);
	if (stored.n > 0 || a->refused) {
		listen_close(&stored);
		fdstore_remove(FDSTORE_LISTENER, -1);
		notify_barrier(); /* until then the address is taken */
	}
	for (size_t i = 0; i < claimed->n; i++)
		listener_release_buffers(&claimed->at[i], conf);
}

static void start_passed(struct listeners *set, const struct activation *a, const struct conf *conf)
{
	listen_close(&a->stored); /* from a time without a socket unit */
	fdstore_remove(FDSTORE_LISTENER, -1);
	*set = a->passed;
	set->passed = true;
	put_in_force(set, conf, ", passed by the service manager");
}

int listen_start(struct listeners *set, const struct activation *a, const struct conf *conf,
		 bool only_passed)
{
	struct listeners stored;
	int r;

	if (a->passed.n > 0) {
		start_passed(set, a, conf);
		return 0;
	}
	if (only_passed) {
		log_event(EVENT_SOCKET_MISSING, NULL,
			  "no listening socket was passed; with systemd, start echod.socket, which "
			  "starts this service");
		return -ENOENT;
	}
	claim_all(&stored, a, conf);
	r = open_all(set, &stored, conf);
	if (r < 0)
		return r;
	put_in_force(set, conf, ", as before");
	store(set, conf, false);
	return 0;
}

int listen_prepare(const struct listeners *set, const struct conf *conf, struct listeners *next)
{
	if (!set->passed)
		return open_all(next, set, conf);
	*next = *set;
	return 0;
}

void listen_adopt(struct listeners *set, const struct conf *conf, const struct listeners *next)
{
	struct listeners old = *set;
	bool dropped = false;

	*set = *next;
	put_in_force(set, conf, NULL);
	for (size_t i = 0; i < old.n; i++)
		dropped |= !contains(set, old.at[i].fd);
	store(set, conf, dropped);
}

bool listen_repair(struct listeners *set, const struct conf *conf, int fd, int error)
{
	static struct listeners next; /* static: main's stack may be small, see thread.c */

	for (size_t i = 0; i < set->n && error; i++)
		if (set->at[i].fd == fd && listener_is_alive(&set->at[i])) {
			log_failure(&set->at[i], strerrordesc_np(error),
				    "clients wait in its queue, trying again soon");
			schedule(set);
			return false;
		}
	if (set->passed) {
		for (size_t i = 0; i < set->n; i++)
			if (log_end(&set->at[i], "restart the socket unit that passed it"))
				set->at[i].fd = -1;
		set->due = INT64_MAX;
		return true;
	}
	next = *set;
	next.n = 0;
	for (size_t i = 0; i < set->n; i++)
		(void)add(&next, set, &set->at[i].address, conf);
	listen_adopt(set, conf, &next);
	return true;
}

const char *listen_remark(const struct listeners *set)
{
	if (!contains(set, -1))
		return NULL;
	return set->passed ? "a listening socket was shut down, restart its socket unit" :
			     "an address cannot be opened again";
}

void listen_forget(void)
{
	fdstore_remove(FDSTORE_LISTENER, -1);
}
