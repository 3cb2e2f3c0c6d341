#include "listeners.h"

#include <errno.h>
#include <unistd.h>

static const struct listener *find(const struct listeners *set, const struct address *address)
{
	for (size_t i = 0; i < set->n; i++)
		if (address_equal(&set->at[i].address, address))
			return &set->at[i];
	return NULL;
}

bool listeners_contain(const struct listeners *set, const struct address *address)
{
	return find(set, address) != NULL;
}

void listeners_close(const struct listeners *set, const struct listeners *kept)
{
	for (size_t i = 0; i < set->n; i++)
		if (!kept || !listeners_contain(kept, &set->at[i].address))
			close(set->at[i].fd);
}

static int add(struct listeners *set, const struct listeners *old, const struct address *address,
	       const struct conf *conf)
{
	const struct listener *open = find(old, address);
	int r = 0;

	if (open)
		set->at[set->n] = *open;
	else
		r = listener_open(&set->at[set->n], address, conf);
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
