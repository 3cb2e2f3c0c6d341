#include "listen/listening.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "systemd/fdstore.h"
#include "systemd/notify.h"

/* A record about one address, whose text is put between the two others. */
static void log_address(struct event event, const char *what, const struct address *address,
			const char *more)
{
	char text[ADDRESS_TEXT];

	address_format(address, text);
	log_event(event, FIELDS(FIELD("ECHOD_ADDRESS", text)), "%s %s%s", what, text, more);
}

static void log_bind_failure(const struct address *address, int error)
{
	static const char advice[] =
		"; port %u is below 1024 and needs the capability CAP_NET_BIND_SERVICE";
	char text[ADDRESS_TEXT], more[sizeof(advice) + 8] = "";
	unsigned port = address_port(address);

	if (error == -EACCES && port > 0 && port < 1024)
		snprintf(more, sizeof(more), advice, port);
	address_format(address, text);
	log_event(EVENT_BIND_FAILED, FIELDS(FIELD("ECHOD_ADDRESS", text), FIELD_ERRNO(-error)),
		  "cannot listen on %s: %s%s", text, strerrordesc_np(-error), more);
}

static int open_configured(const struct listeners *old, const struct conf *conf,
			   struct listeners *set)
{
	struct address failed;
	int r = listeners_open(set, old, conf, &failed);

	if (r < 0) {
		log_bind_failure(&failed, r);
		return r;
	}
	for (size_t i = 0; i < conf->n_listen; i++)
		if (!listeners_find(set, &conf->listen[i]))
			log_address(EVENT_NO_IPV6, "not listening on", &conf->listen[i],
				    ": this kernel has no IPv6");
	return 0;
}

/* Says where we listen, and whether the kernel lets the queue be as long as configured. */
static void log_listener(const struct listener *listener, const struct conf *conf, const char *how)
{
	int queue = listener_queue(listener);
	char more[96];

	snprintf(more, sizeof(more), "%s", how);
	if (queue >= 0 && queue < conf->backlog)
		snprintf(more, sizeof(more), "%s, with a queue of %d only", how, queue);
	log_address(EVENT_LISTENING, "listening on", &listener->bound, more);
}

/* The same of all, except for what is in old. */
static void log_listeners(const struct listeners *set, const struct listeners *old,
			  const struct conf *conf, const char *how)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->at[i].fd >= 0 && (!old || !listeners_contain(old, &set->at[i])))
			log_listener(&set->at[i], conf, how);
}

static void unstore(struct listener *listener)
{
	if (listener->stored >= 0)
		fdstore_remove(FDSTORE_LISTENER, listener->stored);
	listener->stored = -1;
}

static void unstore_all(struct listeners *set)
{
	for (size_t i = 0; i < set->n; i++)
		unstore(&set->at[i]);
}

/* The lowest number that no other has. */
static int free_number(const struct listeners *set)
{
	int number = 0;

	for (size_t i = 0; i < set->n; i++)
		if (set->at[i].stored == number) {
			number++;
			i = (size_t)-1; /* look at all again */
		}
	return number;
}

/* The same one stored twice is stored once: the manager compares. */
static void store_all(struct listeners *set)
{
	for (size_t i = 0; i < set->n; i++) {
		struct listener *listener = &set->at[i];

		if (listener->fd < 0)
			continue;
		if (listener->stored < 0)
			listener->stored = free_number(set);
		(void)fdstore_add(FDSTORE_LISTENER, listener->stored, listener->fd);
	}
}

/* One that has ended is left alone: see listener.c. */
static void configure(const struct listener *listener, const struct conf *conf)
{
	int r = listener_is_alive(listener) ? listener_configure(listener, conf) : 0;

	if (r < 0)
		log_warning("cannot set the options of a listener: %s", strerrordesc_np(-r));
}

static void configure_all(const struct listeners *set, const struct conf *conf)
{
	for (size_t i = 0; i < set->n; i++)
		configure(&set->at[i], conf);
}

static void drop(struct listeners *set)
{
	unstore_all(set);
	listeners_close(set, NULL);
	set->n = 0;
}

/*
 * Closes stored listeners that conf does not name any more, for their
 * addresses may overlap with those that it does name, as may those of others
 * that were refused.
 */
static void drop_unwanted(struct listeners *stored, const struct conf *conf, bool refused)
{
	struct listeners unwanted;

	listeners_claim(stored, conf, &unwanted);
	if (unwanted.n > 0 || refused) {
		drop(&unwanted);
		notify_barrier(); /* until then the address is taken */
	}
}

static int start_passed(struct listening *l, const struct activation *a, const struct conf *conf)
{
	struct listeners stored = a->stored;

	drop(&stored); /* from a time without a socket unit */
	l->set = a->passed;
	l->passed = true;
	configure_all(&l->set, conf);
	log_listeners(&l->set, NULL, conf, ", passed by the service manager");
	return 0;
}

int listening_start(struct listening *l, const struct activation *a, const struct conf *conf,
		    bool only_passed)
{
	struct listeners stored = a->stored;
	int r;

	if (a->passed.n > 0)
		return start_passed(l, a, conf);
	if (only_passed) {
		log_event(EVENT_SOCKET_MISSING, NULL,
			  "no listening socket was passed; with systemd, start echod.socket, which "
			  "starts this service");
		return -ENOENT;
	}
	drop_unwanted(&stored, conf, a->refused);
	r = open_configured(&stored, conf, &l->set);
	if (r < 0) {
		listeners_close(&stored, NULL);
		return r;
	}
	for (size_t i = 0; i < stored.n; i++)
		listener_release_buffers(&stored.at[i], conf);
	configure_all(&stored, conf);
	if (conf->hand_over)
		store_all(&l->set);
	else
		unstore_all(&l->set);
	log_listeners(&l->set, &stored, conf, "");
	log_listeners(&stored, NULL, conf, ", as before");
	return 0;
}

int listening_prepare(const struct listening *l, const struct conf *conf, struct listeners *next)
{
	if (!l->passed)
		return open_configured(&l->set, conf, next);
	*next = l->set;
	return 0;
}

void listening_adopt(struct listening *l, const struct conf *conf, const struct listeners *next)
{
	struct listeners old = l->set;

	l->set = *next;
	for (size_t i = 0; i < next->n; i++) /* what is new has been opened with these options */
		if (listeners_contain(&old, &next->at[i]))
			configure(&next->at[i], conf);
	log_listeners(&l->set, &old, conf, "");
	if (l->passed)
		return;
	for (size_t i = 0; i < old.n; i++)
		if (!listeners_contain(next, &old.at[i]))
			unstore(&old.at[i]);
	if (conf->hand_over)
		store_all(&l->set);
	else
		unstore_all(&l->set);
}

void listening_lose(struct listening *l, size_t i)
{
	struct listener *listener = &l->set.at[i];

	if (l->passed) {
		l->lost = true;
		*listener = l->set.at[--l->set.n];
		return;
	}
	unstore(listener);
	listener->fd = -1;
}

int listening_recover(struct listening *l, size_t i, const struct conf *conf)
{
	struct listener *listener = &l->set.at[i], new;
	int r = listener_open_again(&new, listener, conf);

	if (r < 0) {
		log_bind_failure(&listener->address, r);
		return r;
	}
	*listener = new;
	if (conf->hand_over)
		store_all(&l->set);
	log_listener(listener, conf, ", again");
	return 0;
}

const char *listening_remark(const struct listening *l)
{
	if (l->lost)
		return "a listening socket was shut down, restart its socket unit";
	for (size_t i = 0; i < l->set.n; i++)
		if (l->set.at[i].fd < 0)
			return "an address cannot be opened again";
	return NULL;
}

void listening_forget(struct listening *l)
{
	unstore_all(&l->set);
}
