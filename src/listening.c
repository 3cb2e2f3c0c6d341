#include "listening.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "store.h"

/* A record about one address, whose text is put between the two others. */
static void log_address(enum event event, const char *what, const struct address *address,
			const char *more)
{
	char text[ADDRESS_TEXT];
	struct log_record r;

	address_format(address, text);
	log_begin(&r, event);
	log_field(&r, "ECHOD_ADDRESS", "%s", text);
	log_end(&r, "%s %s%s", what, text, more);
}

static void log_bind_failure(const struct address *address, int error)
{
	static const char advice[] =
		"; port %u is below 1024 and needs the capability CAP_NET_BIND_SERVICE";
	char text[ADDRESS_TEXT], more[sizeof(advice) + 8] = "";
	unsigned port = address_port(address);
	struct log_record r;

	if (error == -EACCES && port > 0 && port < 1024)
		snprintf(more, sizeof(more), advice, port);
	address_format(address, text);
	log_begin(&r, EVENT_BIND_FAILED);
	log_field(&r, "ECHOD_ADDRESS", "%s", text);
	log_errno(&r, -error);
	log_end(&r, "cannot listen on %s: %s%s", text, strerrordesc_np(-error), more);
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
		if (!listeners_contain(set, &conf->listen[i]))
			log_address(EVENT_NO_IPV6, "not listening on", &conf->listen[i],
				    ": this kernel has no IPv6");
	return 0;
}

/* Says where we listen, and whether the kernel lets the queue be as long as configured. */
static void log_listener(const struct listener *listener, const struct conf *conf, const char *how)
{
	int queue = listener_queue(listener);
	struct address address;
	char more[96];

	snprintf(more, sizeof(more), "%s", how);
	if (queue >= 0 && queue < conf->backlog)
		snprintf(more, sizeof(more), "%s, with a queue of %d only", how, queue);
	listener_address(listener, &address);
	log_address(EVENT_LISTENING, "listening on", &address, more);
}

/* The same of all, except for what is in old. */
static void log_listeners(const struct listeners *set, const struct listeners *old,
			  const struct conf *conf, const char *how)
{
	for (size_t i = 0; i < set->n; i++)
		if (!old || !listeners_contain(old, &set->at[i].address))
			log_listener(&set->at[i], conf, how);
}

static void unstore(const struct listener *listener)
{
	struct address address;

	listener_address(listener, &address);
	store_remove_listener(&address);
}

/* The same one stored twice is stored once: the manager compares. */
static void store_all(const struct listening *l)
{
	for (size_t i = 0; i < l->set.n; i++) {
		struct address address;

		listener_address(&l->set.at[i], &address);
		store_add_listener(&address, l->set.at[i].fd);
	}
}

static void configure(const struct listener *listener, const struct conf *conf)
{
	int r = listener_configure(listener, conf);

	if (r < 0)
		log_warning("cannot set the options of a listener: %s", strerrordesc_np(-r));
}

static void configure_all(const struct listeners *set, const struct conf *conf)
{
	for (size_t i = 0; i < set->n; i++)
		configure(&set->at[i], conf);
}

static bool is_configured(const struct conf *conf, const struct address *address)
{
	for (size_t i = 0; i < conf->n_listen; i++)
		if (address_equal(&conf->listen[i], address))
			return true;
	return false;
}

/*
 * Closes stored listeners that conf does not name any more, for their
 * addresses may overlap with those that it does name.
 */
static void drop_unwanted(struct listeners *stored, const struct conf *conf)
{
	size_t n = 0;

	for (size_t i = 0; i < stored->n; i++) {
		const struct listener *l = &stored->at[i];

		if (is_configured(conf, &l->address)) {
			stored->at[n++] = *l;
		} else {
			unstore(l);
			close(l->fd);
		}
	}
	if (n < stored->n)
		store_barrier(); /* until then the address is taken */
	stored->n = n;
}

static int start_passed(struct listening *l, const struct activation *a, const struct conf *conf)
{
	for (size_t i = 0; i < a->stored.n; i++) {
		unstore(&a->stored.at[i]); /* from a time without a socket unit */
		close(a->stored.at[i].fd);
	}
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
		log_event(EVENT_SOCKET_MISSING,
			  "no listening socket was passed; with systemd, start echod.socket, which "
			  "starts this service");
		return -ENOENT;
	}
	drop_unwanted(&stored, conf);
	r = open_configured(&stored, conf, &l->set);
	if (r < 0) {
		listeners_close(&stored, NULL);
		return r;
	}
	configure_all(&stored, conf);
	if (conf->hand_over)
		store_all(l);
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
		if (listeners_contain(&old, &next->at[i].address))
			configure(&next->at[i], conf);
	log_listeners(&l->set, &old, conf, "");
	for (size_t i = 0; i < old.n; i++)
		if (!l->passed &&
		    (!conf->hand_over || !listeners_contain(next, &old.at[i].address)))
			unstore(&old.at[i]);
	if (!l->passed && conf->hand_over)
		store_all(l);
}

void listening_forget(const struct listening *l)
{
	for (size_t i = 0; i < l->set.n && !l->passed; i++)
		unstore(&l->set.at[i]);
}
