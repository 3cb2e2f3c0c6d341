/* SPDX-License-Identifier: MIT */
/*
 * uring: io_uring, where the kernel reports what is done, not what can be done.
 *
 * One request accepts all connections (multishot).  Each connection has one
 * request at a time: a receive, into a buffer that the kernel takes from a ring
 * of provided ones when bytes have come, and then its send.  So one system call
 * hands over the requests of a batch and fetches what is done; only close(2) is
 * another.  Order, backpressure and the end of a connection come by themselves.
 *
 * What must be done by hand is that nothing waits with a provided buffer, for
 * slow readers could hold all of them.  Its send has MSG_DONTWAIT, and what is
 * left is copied.  The copy is sent without that flag: the kernel waits for room.
 */
#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model.h"

#define ENTRIES 4096
#define BUFFERS 1024 /* a power of two */
#define BUFFER 4096
#define GROUP 0

enum { ACCEPT, RECEIVE, SEND };

struct connection {
	unsigned char
		*copy; /* of what a slow reader has still to get, or NULL: it is in the buffer */
	int buffer;
	size_t size, sent;
};

static struct io_uring ring;
static struct io_uring_buf_ring *provided;
static unsigned char (*buffers)[BUFFER];
static struct connection *connections; /* by descriptor */
static int listener;
static bool accepting;

/* A request to be filled in. */
static struct io_uring_sqe *request(void)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&ring)))
		io_uring_submit(&ring); /* the queue is full */
	return sqe;
}

static void tag(struct io_uring_sqe *sqe, int operation, int fd)
{
	uint64_t data = (uint64_t)fd << 2 | (uint64_t)operation;

	io_uring_sqe_set_data64(sqe, data);
}

static void start_accept(void)
{
	struct io_uring_sqe *sqe = request();

	io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0);
	tag(sqe, ACCEPT, listener);
	accepting = true;
}

static void start_receive(int fd)
{
	struct io_uring_sqe *sqe = request();

	io_uring_prep_recv(sqe, fd, NULL, BUFFER, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	tag(sqe, RECEIVE, fd);
}

static void start_send(int fd)
{
	struct connection *c = &connections[fd];
	const unsigned char *data = c->copy ? c->copy : buffers[c->buffer];
	struct io_uring_sqe *sqe = request();

	io_uring_prep_send(sqe, fd, data + c->sent, c->size - c->sent,
			   MSG_NOSIGNAL | (c->copy ? 0 : MSG_DONTWAIT));
	tag(sqe, SEND, fd);
}

static void give_back(int buffer)
{
	io_uring_buf_ring_add(provided, buffers[buffer], BUFFER, (unsigned short)buffer,
			      io_uring_buf_ring_mask(BUFFERS), 0);
	io_uring_buf_ring_advance(provided, 1);
}

static void copy_rest(struct connection *c)
{
	c->size -= c->sent;
	c->copy = malloc(c->size);
	if (!c->copy)
		peer_die("no memory");
	memcpy(c->copy, buffers[c->buffer] + c->sent, c->size);
	c->sent = 0;
	give_back(c->buffer);
}

/* Frees what was to be sent. */
static void release(struct connection *c)
{
	if (!c->copy)
		give_back(c->buffer);
	free(c->copy);
	c->copy = NULL;
}

static void finish(int fd)
{
	close(fd);
	if (!accepting)
		start_accept();
}

static void accepted(int fd, bool more)
{
	accepting = more;
	if (fd >= 0) {
		start_receive(fd);
	} else if (fd == -EMFILE || fd == -ENFILE) {
		model_complain(strerror(-fd)); /* until a connection is closed */
		return;
	}
	if (!more)
		start_accept();
}

static void received(int fd, int result, const struct io_uring_cqe *cqe)
{
	int buffer = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);

	if (result > 0) {
		connections[fd] = (struct connection){ .buffer = buffer, .size = (size_t)result };
		start_send(fd);
	} else if (result == -ENOBUFS) {
		start_receive(fd);
	} else {
		finish(fd);
	}
}

static void sent(int fd, int result)
{
	struct connection *c = &connections[fd];

	if (result < 0 && result != -EAGAIN) {
		release(c);
		finish(fd);
		return;
	}
	c->sent += result > 0 ? (size_t)result : 0;
	if (c->sent == c->size) {
		release(c);
		start_receive(fd);
		return;
	}
	if (!c->copy)
		copy_rest(c);
	start_send(fd);
}

static void handle(const struct io_uring_cqe *cqe)
{
	int fd = (int)(cqe->user_data >> 2);

	switch (cqe->user_data & 3) {
	case ACCEPT:
		accepted(cqe->res, cqe->flags & IORING_CQE_F_MORE);
		break;
	case RECEIVE:
		received(fd, cqe->res, cqe);
		break;
	case SEND:
		sent(fd, cqe->res);
		break;
	}
}

static void *map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		peer_die("no memory");
	return memory;
}

/* An old kernel knows not all of this, and some forbid io_uring: then the model is skipped. */
static void skip_unless(const char *what, int result)
{
	if (result >= 0)
		return;
	fprintf(stderr, "skipped: this kernel refuses %s: %s\n", what, strerror(-result));
	exit(77);
}

static void set_up(void)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	};
	struct io_uring_buf_reg registration = { .ring_entries = BUFFERS, .bgid = GROUP };

	skip_unless("io_uring", io_uring_queue_init_params(ENTRIES, &ring, &params));
	provided = map(BUFFERS * sizeof(struct io_uring_buf));
	buffers = map(BUFFERS * sizeof(*buffers));
	registration.ring_addr = (uintptr_t)provided;
	skip_unless("a ring of buffers", io_uring_register_buf_ring(&ring, &registration, 0));
	io_uring_buf_ring_init(provided);
	for (int i = 0; i < BUFFERS; i++)
		give_back(i);
}

int main(void)
{
	set_up();
	listener = model_listen(0);
	connections = calloc(model_descriptors(), sizeof(*connections));
	if (!connections)
		peer_die("no memory");
	start_accept();
	for (;;) {
		struct io_uring_cqe *cqe;
		unsigned head, n = 0;

		io_uring_submit_and_wait(&ring, 1);
		io_uring_for_each_cqe (&ring, head, cqe) {
			handle(cqe);
			n++;
		}
		io_uring_cq_advance(&ring, n);
	}
}
