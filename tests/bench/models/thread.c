/* SPDX-License-Identifier: MIT */
/*
 * thread: a thread for each connection, and the kernel does the waiting.
 *
 * The simplest of all: a thread blocks in recv(2), then in send(2), so a
 * partial write, a slow reader and back-pressure need not a line.  What it
 * costs: a stack of user memory and one of the kernel's for each connection,
 * idle or not, and a switch of threads for each message.
 *
 * The stack is made small, and the buffer in it: the usual 8 MiB are only
 * address space, but that has an end too.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "model.h"

#define BUFFER 4096
#define STACK (64 * 1024)

static void *echo(void *arg)
{
	int fd = (int)(intptr_t)arg;
	unsigned char buffer[BUFFER];
	ssize_t got;

	while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
		/* It blocks until all is sent; less than all is an error. */
		if (send(fd, buffer, (size_t)got, MSG_NOSIGNAL) != got)
			break;
	}
	close(fd);
	return NULL;
}

int main(void)
{
	int listener = model_listen(0);
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK);
	for (;;) {
		int fd = model_accept(listener, 0);
		pthread_t thread;
		int error = pthread_create(&thread, &attributes, echo, (void *)(intptr_t)fd);

		if (error) {
			model_complain(strerror(error));
			close(fd);
		}
	}
}
