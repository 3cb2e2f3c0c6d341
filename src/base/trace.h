/* SPDX-License-Identifier: MIT */
/*
 * trace: prints each batch of events that epoll returns (--trace).
 *
 * One line a batch on standard output, for example
 *
 *     worker/0: 2 events: 8 EPOLLIN|EPOLLOUT, 9 EPOLLIN|EPOLLOUT|EPOLLRDHUP
 *
 * Unlike the log, the trace loses nothing: the thread waits for the reader.  Any thread.
 */
#ifndef ECHOD_TRACE_H
#define ECHOD_TRACE_H

#include <sys/epoll.h>

/* main, before any other thread: the first line then makes no other system call. */
void trace_init(void);

/*
 * events as epoll_wait(2) returned them; data.fd is the descriptor.  That of
 * wake_fd is shown as "wake-up".
 */
void trace_batch(const char *thread, int wake_fd, const struct epoll_event *events, int n);

#endif
