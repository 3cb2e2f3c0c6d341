#include "listen/listeners.h"

#include <errno.h>
#include <unistd.h>

const struct listener *listeners_find(const struct listeners *set, const struct address *address)
{
	for (size_t i = 0; i < set->n; i++)
		if (address_equal(&set->at[i].address, address))
			return &set->at[i];
	return NULL;
}

bool listeners_contain(const struct listeners *set, const struct listener *listener)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->at[i].fd == listener->fd)
			return true;
	return false;
}

void listeners_close(const struct listeners *set, const struct listeners *kept)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->at[i].fd >= 0 && (!kept || !listeners_contain(kept, &set->at[i])))
			close(set->at[i].fd);
}

/*
 * False if it listens no more, or on an interface that is gone while another
 * one has its name.  If none has, the listener stays: it harms nobody, and
 * another could not be opened.
 */
static bool is_good(const struct listener *listener)
{
	struct address now;

	if (!listener_is_alive(listener))
		return false;
	return address_resolve(&listener->address, &now) < 0 || now.any.sa_family != AF_INET6 ||
	       now.v6.sin6_scope_id == listener->bound.v6.sin6_scope_id;
}

static int add(struct listeners *set, const struct listeners *old, const struct address *address,
	       const struct conf *conf)
{
	struct listener *new = &set->at[set->n];
	const struct listener *was = listeners_find(old, address);
	int r = 0;

	if (was && is_good(was)) {
		*new = *was;
	} else if (was) {
		r = listener_open_again(new, was, conf);
		if (r < 0) {
			*new = *was;
			new->fd = new->stored = -1;
			r = 0;
		}
	} else {
		r = listener_open(new, address, conf);
	}
	if (r == 0)
		set->n++;
	return r;
}

int listeners_open(struct listeners *set, const struct listeners *old, const struct conf *conf,
		   struct address *failed)
{
	int missing = 0;

	set->n = 0;
	for (size_t i = 0; i < conf->n_listen; i++) {
		int r = add(set, old, &conf->listen[i], conf);

		if (r == 0)
			continue;
		*failed = conf->listen[i];
		missing = r;
		if (r == -EAFNOSUPPORT && failed->any.sa_family == AF_INET6)
			continue;
		listeners_close(set, old);
		return r;
	}
	return set->n ? 0 : missing;
}

/* True if conf's address, with that port, is where the listener is bound. */
static bool is_at(const struct listener *listener, const struct address *configured, unsigned port)
{
	struct address address;

	if (address_resolve(configured, &address) < 0)
		return false;
	address_set_port(&address, port);
	return address_equal(&listener->bound, &address);
}

/* Which of conf's addresses, of those that nobody has, the listener is for; or NULL. */
static const struct address *claim(const struct listener *listener, const struct listeners *taken,
				   const struct conf *conf, bool any_port)
{
	for (size_t i = 0; i < conf->n_listen; i++) {
		const struct address *a = &conf->listen[i];
		unsigned port = any_port ? address_port(&listener->bound) : address_port(a);

		if (any_port == (address_port(a) == 0) && !listeners_find(taken, a) &&
		    is_at(listener, a, port))
			return a;
	}
	return NULL;
}

/* One round of listeners_claim(), in which the port is conf's, or conf leaves it open. */
static void claim_round(struct listeners *left, struct listeners *taken, const struct conf *conf,
			bool any_port)
{
	size_t n = 0;

	for (size_t i = 0; i < left->n; i++) {
		const struct address *a = claim(&left->at[i], taken, conf, any_port);

		if (a) {
			taken->at[taken->n] = left->at[i];
			taken->at[taken->n++].address = *a;
		} else {
			left->at[n++] = left->at[i];
		}
	}
	left->n = n;
}

void listeners_claim(struct listeners *stored, const struct conf *conf, struct listeners *rest)
{
	struct listeners taken = { .n = 0 };

	*rest = *stored;
	claim_round(rest, &taken, conf, false);
	claim_round(rest, &taken, conf, true);
	*stored = taken;
}
