/* SPDX-License-Identifier: MIT */
#include "listen/activation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/log.h"
#include "systemd/fdstore.h"

/* Between activation_receive() and activation_sort(). */
static struct {
	int n; /* or -errno */
	char **names;
} received;

void activation_receive(void)
{
	const char *n = getenv("LISTEN_FDS");

	if (n && strcmp(n, "0") == 0) /* none, which sd_listen_fds(3) calls an error */
		return;
	received.n = sd_listen_fds_with_names(1, &received.names);
}

static bool begins_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Returns NULL, or why the descriptor is not taken; as all that follow. */
static const char *add_listener(struct listeners *set, int fd, bool stored)
{
	const char *trouble;

	if (set->n == CONF_LISTEN_MAX)
		return "there are too many";
	trouble = listener_take(&set->at[set->n], fd, stored);
	if (!trouble)
		set->n++;
	return trouble;
}

/* A listener of our predecessor; those under a name of 0.1.0 are stored again under ours. */
static const char *add_stored(struct activation *a, int fd, const char *name)
{
	const char *trouble = add_listener(&a->stored, fd, true);

	if (!trouble && strcmp(name, FDSTORE_LISTENER) != 0)
		fdstore_remove(name, -1);
	return trouble;
}

static const char *add_carrier(struct activation *a, int fd, const char *name)
{
	char ours[sizeof(FDSTORE_CARRIER) + 12];
	int i = atoi(name + strlen(FDSTORE_CARRIER));

	snprintf(ours, sizeof(ours), "%s%d", FDSTORE_CARRIER, i); /* not with "01" or "1x" */
	if (i < 0 || i >= ACTIVATION_CARRIERS || strcmp(name, ours) != 0 || a->carriers[i] >= 0)
		return "it is not a carrier of echod, or a duplicate";
	if (sd_is_socket(fd, AF_UNIX, SOCK_SEQPACKET, 0) <= 0)
		return "it is not a carrier of connections";
	a->carriers[i] = fd;
	return NULL;
}

static const char *add(struct activation *a, int fd, const char *name)
{
	if (!begins_with(name, FDSTORE_PREFIX))
		return add_listener(&a->passed, fd, false);
	if (begins_with(name, FDSTORE_LISTENER))
		return add_stored(a, fd, name);
	if (begins_with(name, FDSTORE_CARRIER))
		return add_carrier(a, fd, name);
	if (strcmp(name, FDSTORE_STATE) != 0)
		return "its name is unknown";
	if (a->state >= 0)
		return "it is a duplicate";
	a->state = fd;
	return NULL;
}

static void log_refusal(int fd, const char *name, const char *why)
{
	log_event(EVENT_DESCRIPTOR_REFUSED,
		  FIELDS(FIELD_NUMBER("ECHOD_DESCRIPTOR", fd), FIELD("ECHOD_NAME", name),
			 FIELD("ECHOD_ERROR", why)),
		  "descriptor %d (%s) was passed, but %s: closed", fd, name, why);
}

void activation_sort(struct activation *a)
{
	memset(a, 0, sizeof(*a));
	a->state = -1;
	for (size_t i = 0; i < ACTIVATION_CARRIERS; i++)
		a->carriers[i] = -1;
	if (received.n < 0)
		log_warning("cannot take the descriptors that were passed: %s",
			    strerrordesc_np(-received.n));
	for (int i = 0; i < received.n; i++) {
		int fd = SD_LISTEN_FDS_START + i;
		const char *name = received.names[i];
		const char *trouble = add(a, fd, name);

		if (trouble) {
			log_refusal(fd, name, trouble);
			a->refused |= begins_with(name, FDSTORE_PREFIX);
			if (begins_with(name, FDSTORE_PREFIX))
				fdstore_remove(name, -1);
			close(fd);
		}
		free(received.names[i]);
	}
	free(received.names);
	memset(&received, 0, sizeof(received));
}
