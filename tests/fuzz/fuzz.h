/* SPDX-License-Identifier: MIT */
/*
 * What the harnesses share.  A harness is given bytes that an attacker could
 * have chosen, and checks what its room has promised: fuzz_check()
 * ends the process, and so do the sanitizers.
 */
#ifndef ECHOD_FUZZ_H
#define ECHOD_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* What libFuzzer, or replay.c in its place, calls for each input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As assert(3), in every build. */
#define fuzz_check(condition) ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))

static inline _Noreturn void fuzz_fail(const char *file, int line, const char *what)
{
	dprintf(2, "%s:%d: not so: %s\n", file, line, what);
	abort();
}

/*
 * What the inputs of a corpus must come to, each at least once: a corpus of which
 * everything is refused at the door looks green, and shows nothing.  A harness
 * counts, and replay.c looks.  The last one has no name; not every harness has any.
 */
struct fuzz_outcome {
	const char *what;
	unsigned long n;
};

extern struct fuzz_outcome fuzz_outcomes[] __attribute__((weak));

/* If a harness has this, each build replays so many random inputs, too: any input is a life of its
 * room. */
extern const unsigned fuzz_random_inputs __attribute__((weak));

/* An input as a row of choices.  After its end all are 0, which is the kindest one. */
struct tape {
	const uint8_t *at, *end;
};

static inline unsigned tape_next(struct tape *tape)
{
	return tape->at < tape->end ? *tape->at++ : 0;
}

#endif
