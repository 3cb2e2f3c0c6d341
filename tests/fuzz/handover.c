/* SPDX-License-Identifier: MIT */
/*
 * What a predecessor hands over, or a process in its place: a file
 * with a state, and carriers with descriptors of any kind and messages of any
 * shape.  See state.h for the file; the input says how true it is.
 *
 * What is taken over is what can be served, each descriptor is served or
 * closed, and nothing stays behind.  What was taken over is then handed over
 * in earnest, and taken over again: the same connections and bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/conf.h"
#include "fuzz.h"
#include "restart/handover.h"
#include "restart/state.h"
#include "restart/takeover.h"
#include "systemd/fdstore.h"

#define FILE_SIZE 8192
#define DESCRIPTORS 64 /* that have a record */
#define HIGHEST 320    /* descriptors are looked for up to here */

static struct tape tape;

enum { REFUSED, OF_0_1_0, OURS, NEWER, LOST, WITH_PENDING };

struct fuzz_outcome fuzz_outcomes[] = {
	[REFUSED] = { "a state that is refused", 0 },
	[OF_0_1_0] = { "a connection taken over from 0.1.0", 0 },
	[OURS] = { "a connection taken over from this version", 0 },
	[NEWER] = { "a connection taken over from a later version", 0 },
	[LOST] = { "a connection that is lost", 0 },
	[WITH_PENDING] = { "a connection taken over with pending bytes", 0 },
	{ 0 },
};

/* The store of a manager: what was handed over in earnest. */
static struct activation stored;

int __wrap_notify_send(const char *text, int fd, bool patient);

int __wrap_notify_send(const char *text, int fd, bool patient)
{
	const char *name = strstr(text, "FDNAME=") + strlen("FDNAME=");

	fuzz_check(patient);
	if (fd < 0)
		return 0; /* something is removed, which was not stored */
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	fuzz_check(fd >= 0);
	if (strcmp(name, FDSTORE_STATE) == 0)
		stored.state = fd;
	else
		stored.carriers[atoi(name + strlen(FDSTORE_CARRIER))] = fd;
	return 0;
}

static void activation_clear(struct activation *a)
{
	memset(a, 0, sizeof(*a));
	a->state = -1;
	for (size_t i = 0; i < ACTIVATION_CARRIERS; i++)
		a->carriers[i] = -1;
}

/* What can be sent: three that can be served, and others. */
enum { TCP, TCP6, TCP_BLOCKING, LISTENING, UDP, LOCAL, PIPE, MEMORY, KINDS };

static int make(int kind)
{
	int ends[2];

	switch (kind) {
	case TCP6:
		return socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	case UDP:
		return socket(AF_INET, SOCK_DGRAM, 0);
	case LOCAL:
		return socket(AF_UNIX, SOCK_STREAM, 0);
	case PIPE:
		if (pipe(ends) < 0)
			abort();
		close(ends[0]);
		return ends[1];
	case MEMORY:
		return memfd_create("other", 0);
	default:
		return socket(AF_INET, SOCK_STREAM, 0);
	}
}

/* They are made once and sent often; without IPv6 the second is as the first. */
static int pool(int kind)
{
	static int fds[KINDS];

	for (int i = 0; fds[KINDS - 1] == 0 && i < KINDS; i++) {
		fds[i] = make(i);
		if (fds[i] < 0)
			fds[i] = make(TCP);
		if (i == LISTENING && listen(fds[i], 1) < 0)
			abort();
	}
	return fds[kind % KINDS];
}

static uint32_t number(void)
{
	uint32_t n = tape_next(&tape);

	if (n < 0xf0)
		return n;
	for (int i = 0; i < 3; i++)
		n = n << 8 | tape_next(&tape);
	return n;
}

/* A message as in fdpass.c, or not quite. */
static void send_message(int to)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(253 * sizeof(int))];
	} control = { 0 };
	unsigned shape = tape_next(&tape), kinds = tape_next(&tape);
	size_t n = shape == 0xef ? 253 : shape % 8 % 6;
	uint32_t data[2] = { number(), 0 };
	struct iovec iov = { data, shape >> 4 == 15 ? tape_next(&tape) % 8 : sizeof(uint32_t) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c = &control.align;

	if (n > 0) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
	}
	for (size_t i = 0; i < n; i++) {
		int fd = pool(kinds & 0xc0 ? TCP : (int)((kinds + i) % KINDS));

		memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
	}
	(void)sendmsg(to, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int make_carrier(unsigned messages)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		abort();
	while (messages-- > 0)
		send_message(pair[0]);
	close(pair[0]);
	return pair[1];
}

/* Where a header says that the records begin. */
static uint64_t records_at(const struct state_header *h)
{
	if (h->version != 2)
		return h->records_at;
	return sizeof(*h) + 8 * ((uint64_t)h->readable_since + 1) +
	       8 * (uint64_t)h->record_size * ((uint64_t)h->records_at + 2) +
	       24 * (uint64_t)h->n_workers;
}

/* What a header says that the file's size is, or SIZE_MAX if that is too much. */
static size_t size_of(const unsigned char *file, const struct state_header *h)
{
	uint64_t at = records_at(h), step = h->version == 2 ? 32 : h->record_size;
	uint64_t end = at + h->n_connections * step;

	if (at > FILE_SIZE || step < sizeof(struct saved) || end > FILE_SIZE)
		return SIZE_MAX;
	for (uint32_t i = 0; i < h->n_connections; i++) {
		struct saved r;

		memcpy(&r, file + at + i * step, sizeof(r));
		end = r.pending < FILE_SIZE ? end + r.pending : SIZE_MAX / 2;
		if (end > FILE_SIZE)
			return SIZE_MAX;
	}
	return (size_t)end;
}

enum { SEALED = 1, TRUE_MAGIC = 2, TRUE_SIZE = 4, GIVEN_VERSION = 8, TRUE_LAYOUT = 32 };

/* The rest of the input, made truer as far as it says. */
static int make_state(unsigned how)
{
	static unsigned char file[FILE_SIZE];
	size_t size = (size_t)(tape.end - tape.at);
	struct state_header h;
	int fd = memfd_create("state", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	size = size < sizeof(file) ? size : sizeof(file);
	memset(file, 0, sizeof(file));
	memcpy(file, tape.at, size);
	if (how & TRUE_MAGIC)
		memcpy(file, "echodst", 8);
	memcpy(&h, file, sizeof(h));
	if (how / GIVEN_VERSION % 4 != 3)
		h.version = how / GIVEN_VERSION % 4 + 1;
	if (how & TRUE_LAYOUT && h.version > 2) {
		h.readable_since = 3;
		h.records_at = sizeof(h) + h.records_at % 64;
		h.record_size = sizeof(struct saved) + h.record_size % 64;
	}
	memcpy(file, &h, sizeof(h));
	if (how & TRUE_SIZE && size_of(file, &h) <= sizeof(file))
		size = size_of(file, &h);
	if (fd < 0 || write(fd, file, size) != (ssize_t)size)
		abort();
	if (how & SEALED)
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	return fd;
}

/* Whose state it is. */
static int outcome_of(int fd)
{
	struct state_header h = { .version = 0 };

	if (pread(fd, &h, sizeof(h), 0) < 0)
		abort();
	return h.version == 2 ? OF_0_1_0 : h.version == STATE_VERSION ? OURS : NEWER;
}

/* What is understood is so from its first record to its last byte. */
static void check_state(int fd)
{
	static char bytes[FILE_SIZE];
	struct state s;
	struct saved record;
	uint64_t pending = 0;

	if (state_open(&s, fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0) {
		fuzz_check(!s.in && s.n_connections == 0);
		fuzz_outcomes[REFUSED].n++;
		return;
	}
	for (uint32_t i = 0; i < s.n_connections; i++) {
		fuzz_check(state_next(&s, &record) == 0);
		fuzz_check(record.stalled <= 1 + CLOSINGS);
		fuzz_check(record.stalled == 1 || record.pending == 0);
		fuzz_check(record.pending <= sizeof(bytes));
		fuzz_check(state_read_pending(&s, bytes) == 0);
		pending += record.pending;
	}
	fuzz_check(state_next(&s, &record) == -EBADMSG);
	fuzz_check(s.records_at + s.n_connections * s.record_size + pending ==
		   (uint64_t)lseek(fd, 0, SEEK_END));
	state_close(&s);
}

/* What all connections of a reactor are together, in any order. */
struct sum {
	uint64_t n, echoed, stalled, pending, content;
};

static void check_connection(const struct worker *w, uint32_t fd, const struct connection *c)
{
	int protocol = 0, listening = 1;
	socklen_t size = sizeof(int);

	fuzz_check(c->owner == w->number + 1 && c->adopted && c->since <= clock_ms());
	fuzz_check(!c->pending || c->stalled);
	getsockopt((int)fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size);
	getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size);
	fuzz_check(protocol == IPPROTO_TCP && !listening);
	fuzz_check(fcntl((int)fd, F_GETFL) & O_NONBLOCK && fcntl((int)fd, F_GETFD) & FD_CLOEXEC);
}

static void sum_list(struct sum *sum, const struct worker *w, const struct list *list,
		     uint64_t *held)
{
	int64_t since = INT64_MIN;
	uint32_t i;

	for (i = list->head; i; i = connections_at(w->members.all, i)->younger) {
		const struct connection *c = connections_at(w->members.all, i);
		const struct pending *p = c->pending;

		check_connection(w, i, c);
		fuzz_check(c->since >= since && c->stalled == (list == &w->members.stalled));
		since = c->since;
		sum->n++;
		sum->echoed += c->echoed;
		sum->stalled += c->stalled + 2u * c->parting;
		sum->pending += p ? p->size - p->sent : 0;
		*held -= p ? p->size : 0;
		for (size_t at = p ? p->sent : 0; p && at < p->size; at++)
			sum->content += (at - p->sent + 1) * p->data[at];
	}
}

static struct sum sum_up(const struct reactor *r)
{
	struct sum sum = { 0 };

	for (unsigned i = 0; i < r->shared.n_workers; i++) {
		const struct worker *w = &r->shared.workers[i];
		uint64_t held = w->echo.held;

		sum_list(&sum, w, &w->members.idle, &held);
		sum_list(&sum, w, &w->members.stalled, &held);
		fuzz_check(held == 0);
	}
	fuzz_check(reactor_open(r) == sum.n);
	fuzz_check((uint64_t)r->shared.limiter.open == sum.n);
	return sum;
}

/* A reactor without threads, each of which has ended, as it were. */
static void start(struct reactor *r, unsigned choice)
{
	static struct conf conf;
	struct conf_source none = { 0 };
	struct problems problems;

	if (conf.n_listen == 0 && conf_load(&conf, &none, &problems) < 0)
		abort();
	conf.buffer_size = 4096;
	conf.workers = 1 + choice % 3;
	conf.connection_rate_per_source = choice & 4 ? 10 : 0;
	conf.max_connections_per_source = choice & 8 ? 2 : 0;
	if (reactor_init(r, &conf, DESCRIPTORS, false) < 0)
		abort();
	reactor_set(r, &conf, DESCRIPTORS);
	for (unsigned i = 0; i < r->shared.n_workers; i++)
		r->shared.workers[i].loop.ended = true;
}

/* Closes what a reactor has, without a word. */
static void stop(struct reactor *r)
{
	for (uint32_t fd = 0; fd < r->shared.connections.size; fd++) {
		struct connection *c = connections_at(&r->shared.connections, fd);

		if (c->owner == 0)
			continue;
		limiter_release(&r->shared.limiter, c->source);
		connection_clear(c, &r->shared.workers[c->owner - 1].echo);
		close((int)fd);
	}
	reactor_deinit(r);
}

/* Hands over what a reactor has, and takes it over again. */
static void check_handing_over(struct reactor *r, const struct sum *before, unsigned choice)
{
	struct takeover result;
	struct reactor next;
	struct sum after;

	activation_clear(&stored);
	fuzz_check(handover_run(r) == 0 && stored.state >= 0);
	stop(r);
	start(&next, choice);
	result = takeover_run(&next, &stored);
	fuzz_check(result.error == 0 && result.lost == 0 && result.carried == before->n);
	after = sum_up(&next);
	fuzz_check(memcmp(&after, before, sizeof(after)) == 0);
	stop(&next);
}

/* poll(2) knows in one call which are open. */
static int count_descriptors(void)
{
	struct pollfd all[HIGHEST];
	int n = 0;

	for (int fd = 0; fd < HIGHEST; fd++)
		all[fd] = (struct pollfd){ .fd = fd };
	if (poll(all, HIGHEST, 0) < 0)
		abort();
	for (int fd = 0; fd < HIGHEST; fd++)
		n += !(all[fd].revents & POLLNVAL);
	return n;
}

/* The clients have taken some more of what was pending. */
static void advance(const struct reactor *r, unsigned choice)
{
	for (uint32_t fd = 0; fd < r->shared.connections.size; fd++) {
		struct pending *p = connections_at(&r->shared.connections, fd)->pending;

		if (p)
			p->sent = choice % p->size;
	}
}

/* Takes over what the input says. */
static void run(void)
{
	unsigned choice = tape_next(&tape), how = tape_next(&tape), shape = tape_next(&tape);
	int from = REFUSED;
	struct activation a;
	struct takeover result;
	struct reactor r;
	struct sum sum;

	activation_clear(&a);
	for (unsigned i = 0; i < shape % 4; i++) {
		unsigned place = 2 * i + tape_next(&tape) % 2;

		a.carriers[place] = make_carrier(shape / 4 % 8);
	}
	if (shape < 0xe0) {
		a.state = make_state(how);
		check_state(a.state);
		from = outcome_of(a.state);
	}
	start(&r, choice);
	result = takeover_run(&r, &a);
	fuzz_check(a.state < 0 && (result.error == 0 || result.carried == 0));
	for (size_t i = 0; i < ACTIVATION_CARRIERS; i++)
		fuzz_check(a.carriers[i] < 0);
	fuzz_check(sum_up(&r).n == result.carried);
	fuzz_outcomes[from].n += result.carried;
	fuzz_outcomes[LOST].n += result.lost;
	advance(&r, choice);
	sum = sum_up(&r);
	fuzz_outcomes[WITH_PENDING].n += sum.pending > 0;
	if (sum.n > 0)
		check_handing_over(&r, &sum, choice);
	else
		stop(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int before;

	tape = (struct tape){ data, data + size };
	log_set_level((enum log_level)0); /* nothing */
	pool(0);
	before = count_descriptors();
	run();
	fuzz_check(count_descriptors() == before);
	return 0;
}
