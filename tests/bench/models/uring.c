/* SPDX-License-Identifier: MIT */
/*
 * uring: io_uring, where the kernel reports what is done, not what can be done.
 *
 * One request accepts all connections and one for each connection receives all
 * its bytes (multishot), each time into a buffer that the kernel takes from a
 * ring of provided ones.  So one system call hands over the sends of a batch
 * and fetches the next batch; only close(2) is another.
 *
 * In return the program must say itself what epoll's models get from EAGAIN:
 *
 * - Order: one send at a time for each connection.  What arrives meanwhile is
 *   copied behind it, into the queue.
 * - No waiting with a provided buffer: its send has MSG_DONTWAIT, and what is
 *   left goes to the queue, so that slow readers cannot hold all buffers.
 *   The queue is sent without that flag: the kernel waits for room.
 * - Back-pressure: a queue above LIMIT cancels the receiving; an empty one
 *   starts it again.
 * - Life: a socket is closed when no request for it is under way.
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
#define LIMIT MODEL_BUFFER
#define GROUP 0
#define NONE (-1)

enum { ACCEPT, RECEIVE, SEND, CANCEL };

struct connection {
	const unsigned char *out; /* what is being sent */
	size_t out_size;
	int buffer;	      /* the provided buffer in which that is, or NONE */
	unsigned char *heap;  /* or the memory, to be freed */
	unsigned char *queue; /* what is to be sent after it */
	size_t queued;
	bool receiving, cancelling, sending; /* requests under way */
	bool ended;			     /* by the client, or by an error */
};

static struct io_uring ring;
static struct io_uring_buf_ring *provided;
static unsigned char (*buffers)[BUFFER];
static struct connection *connections; /* by descriptor */
static int listener;
static bool accepting;

static uint64_t tag(int operation, int fd)
{
	return (uint64_t)fd << 2 | (uint64_t)operation;
}

/* A request to be filled in, and then to be tagged. */
static struct io_uring_sqe *request(void)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&ring)))
		io_uring_submit(&ring); /* the queue is full */
	return sqe;
}

static void start_accept(void)
{
	struct io_uring_sqe *sqe = request();

	io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0);
	io_uring_sqe_set_data64(sqe, tag(ACCEPT, listener));
	accepting = true;
}

static void start_receive(int fd)
{
	struct io_uring_sqe *sqe = request();

	io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	io_uring_sqe_set_data64(sqe, tag(RECEIVE, fd));
	connections[fd].receiving = true;
}

static void cancel_receive(int fd)
{
	struct io_uring_sqe *sqe = request();

	io_uring_prep_cancel64(sqe, tag(RECEIVE, fd), 0);
	io_uring_sqe_set_data64(sqe, tag(CANCEL, fd));
	connections[fd].cancelling = true;
}

static void start_send(int fd)
{
	struct connection *c = &connections[fd];
	struct io_uring_sqe *sqe = request();

	io_uring_prep_send(sqe, fd, c->out, c->out_size,
			   MSG_NOSIGNAL | (c->buffer == NONE ? 0 : MSG_DONTWAIT));
	io_uring_sqe_set_data64(sqe, tag(SEND, fd));
	c->sending = true;
}

static void give_back(int buffer)
{
	io_uring_buf_ring_add(provided, buffers[buffer], BUFFER, (unsigned short)buffer,
			      io_uring_buf_ring_mask(BUFFERS), 0);
	io_uring_buf_ring_advance(provided, 1);
}

/* Copies bytes to the front or the end of the queue. */
static void enqueue(struct connection *c, bool front, const unsigned char *data, size_t size)
{
	unsigned char *queue = realloc(c->queue, c->queued + size);

	if (!queue)
		model_die("no memory");
	if (front)
		memmove(queue + size, queue, c->queued);
	memcpy(front ? queue : queue + c->queued, data, size);
	c->queue = queue;
	c->queued += size;
}

/* Frees the place of what was being sent, all of which is sent or in the queue. */
static void release_out(struct connection *c)
{
	if (c->buffer != NONE)
		give_back(c->buffer);
	free(c->heap);
	c->buffer = NONE;
	c->heap = NULL;
	c->out_size = 0;
}

/* After an error: nothing more is echoed, and requests that wait end. */
static void abandon(int fd)
{
	struct connection *c = &connections[fd];

	c->ended = true;
	c->queued = 0;
	shutdown(fd, SHUT_RDWR);
}

/* Starts what the connection needs next; closes it when it is through. */
static void go_on(int fd)
{
	struct connection *c = &connections[fd];

	if (!c->sending && c->out_size == 0 && c->queued > 0) {
		c->out = c->heap = c->queue;
		c->out_size = c->queued;
		c->queue = NULL;
		c->queued = 0;
	}
	if (!c->sending && c->out_size > 0)
		start_send(fd);
	if (!c->receiving && !c->ended && c->queued == 0 && !c->heap)
		start_receive(fd);
	if (c->queued > LIMIT && c->receiving && !c->cancelling)
		cancel_receive(fd);
	if (!c->ended || c->sending || c->receiving)
		return;
	free(c->queue);
	c->queue = NULL;
	close(fd);
	if (!accepting)
		start_accept();
}

static void accepted(int fd, bool more)
{
	accepting = more;
	if (fd >= 0) {
		connections[fd] = (struct connection){ .buffer = NONE };
		go_on(fd);
	} else if (fd == -EMFILE || fd == -ENFILE) {
		model_complain(strerror(-fd)); /* until a connection is closed */
		return;
	}
	if (!more)
		start_accept();
}

static void received(int fd, int result, const struct io_uring_cqe *cqe)
{
	struct connection *c = &connections[fd];
	int buffer = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);

	if (!(cqe->flags & IORING_CQE_F_MORE))
		c->receiving = c->cancelling = false;
	if (result > 0 && c->out_size == 0 && !c->ended) {
		c->out = buffers[buffer];
		c->out_size = (size_t)result;
		c->buffer = buffer;
	} else if (result > 0) {
		if (!c->ended)
			enqueue(c, false, buffers[buffer], (size_t)result);
		give_back(buffer);
	} else if (result == 0) {
		c->ended = true;
	} else if (result != -ENOBUFS && result != -ECANCELED) {
		abandon(fd);
	}
	go_on(fd);
}

static void sent(int fd, int result)
{
	struct connection *c = &connections[fd];

	c->sending = false;
	if (result > 0) {
		c->out += result;
		c->out_size -= (size_t)result;
	} else if (result != -EAGAIN) {
		c->out_size = 0;
		abandon(fd);
	}
	if (c->buffer != NONE && c->out_size > 0) {
		enqueue(c, true, c->out, c->out_size);
		c->out_size = 0;
	}
	if (c->out_size == 0)
		release_out(c);
	go_on(fd);
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
	default: /* of a cancellation; what it cancelled reports itself */
		break;
	}
}

static void *map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		model_die("no memory");
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

int main(int argc, char *argv[])
{
	set_up();
	listener = model_listen(argc, argv, 0);
	connections = calloc(model_descriptors(), sizeof(*connections));
	if (!connections)
		model_die("no memory");
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
