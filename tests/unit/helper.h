/* SPDX-License-Identifier: MIT */
/*
 * helper: what several of the unit tests need.
 *
 * Criterion runs each test in a process of its own, so a test may change
 * descriptors, limits and signals as it likes.
 */
#ifndef ECHOD_TESTS_HELPER_H
#define ECHOD_TESTS_HELPER_H

#include <criterion/criterion.h>
#include <stdint.h>

#include "base/address.h"

/* How many elements an array has. */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Longer than any test takes, so that a hang becomes a failure. */
#define HELPER_TIMEOUT 60

/*
 * As Criterion's Test(), and the test fails if it has leaked.  Only a build
 * with AddressSanitizer knows, others find nothing.
 */
#define TEST(suite, name)                        \
	static void suite##_##name##_body(void); \
	Test(suite, name)                        \
	{                                        \
		suite##_##name##_body();         \
		helper_check_leaks();            \
	}                                        \
	static void suite##_##name##_body(void)

void helper_check_leaks(void);

/* How many descriptors this process has open. */
unsigned helper_count_descriptors(void);

/* The address of a text that is one; else the test fails. */
struct address helper_address(const char *text);

/* A free port of 127.0.0.1 and a socket that listens there, or with backlog -1 is only bound. */
int helper_listen(struct address *bound, int backlog);

/*
 * A TCP connection: returns the client's end, the other one, which does not block, in
 * *server.  The client's buffers are of about this size, or 0 for the kernel's own.
 */
int helper_connect(int listener, int size, int *server);

/* Sets both buffers of a socket, unless the size is 0. */
void helper_set_buffers(int fd, int size);

/* An option of a socket that is a number. */
int helper_get(int fd, int level, int name);
void helper_set(int fd, int level, int name, int value);

/* close(2) will reset the connection. */
void helper_reset_on_close(int fd);

/* Waits until poll(2) reports one of the events, or an error, for fd. */
void helper_wait(int fd, short events);

/* A file in memory with this text, as a descriptor; -1 is never returned. */
int helper_memory_file(const void *text, size_t size);

/* Where it can be opened again.  Valid until the next call. */
const char *helper_path(int fd);

/* From now on what goes to this standard stream can be read. */
void helper_catch(int fd);

/* What has gone there since the last call.  Valid until the next one. */
const char *helper_caught(void);

/* Numbers that are the same in every run, for the same seed. */
struct helper_random {
	uint64_t state; /* the seed, not 0 */
};

/* From 0 to below - 1. */
uint32_t helper_random(struct helper_random *random, uint32_t below);

#endif
