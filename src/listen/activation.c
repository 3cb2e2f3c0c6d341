#include "listen/activation.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

static bool is_tcp(int fd)
{
	int protocol = 0;
	socklen_t size = sizeof(protocol);

	return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 &&
	       (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP);
}

/* Returns NULL, or why the descriptor is not taken.  What has been shut down listens no more. */
static const char *add_listener(struct listeners *set, int fd)
{
	if (sd_is_socket_inet(fd, AF_UNSPEC, SOCK_STREAM, 1, 0) <= 0 || !is_tcp(fd))
		return "it is not a listening TCP socket";
	if (set->n == CONF_LISTEN_MAX)
		return "there are too many";
	if (set_nonblocking(fd) < 0 || listener_take(&set->at[set->n], fd) < 0)
		return "it cannot be made non-blocking";
	set->n++;
	return NULL;
}

/*
 * A listener of our predecessor, which stands for one that we would open now.
 * If its name is not one of ours it is stored again, under one that is.
 */
static const char *add_stored(struct listeners *set, int fd, const char *name)
{
	int number = fdstore_number(name, FDSTORE_LISTENER);
	const char *trouble;

	for (size_t i = 0; i < set->n; i++)
		if (number >= 0 && set->at[i].stored == number)
			return "there is another one";
	trouble = add_listener(set, fd);
	if (trouble)
		return trouble;
	trouble = listener_differs(fd);
	if (trouble) {
		set->n--;
		return trouble;
	}
	set->at[set->n - 1].stored = number;
	if (number < 0)
		fdstore_remove(name, -1);
	return NULL;
}

static const char *add_carrier(struct activation *a, int fd, const char *name)
{
	int i = fdstore_number(name, FDSTORE_CARRIER);

	if (i < 0 || i >= ACTIVATION_CARRIERS || a->carriers[i] >= 0)
		return "it is not one of ours";
	if (sd_is_socket(fd, AF_UNIX, SOCK_SEQPACKET, 0) <= 0)
		return "it is not what carries connections";
	if (set_nonblocking(fd) < 0)
		return "it cannot be made non-blocking";
	a->carriers[i] = fd;
	return NULL;
}

static const char *add_state(struct activation *a, int fd)
{
	if (a->state >= 0)
		return "there is another one";
	a->state = fd;
	return NULL;
}

static const char *add(struct activation *a, int fd, const char *name)
{
	if (!begins_with(name, FDSTORE_PREFIX))
		return add_listener(&a->passed, fd);
	if (begins_with(name, FDSTORE_LISTENER))
		return add_stored(&a->stored, fd, name);
	if (begins_with(name, FDSTORE_CARRIER))
		return add_carrier(a, fd, name);
	if (strcmp(name, FDSTORE_STATE) == 0)
		return add_state(a, fd);
	return "its name is unknown";
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
