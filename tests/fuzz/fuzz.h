/*
 * What the harnesses share.  A harness is given bytes that someone who means
 * harm could have chosen, and checks what its room has promised: fuzz_check()
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

/* An input as a row of choices.  After its end all are 0, which is the kindest one. */
struct tape {
	const uint8_t *at, *end;
};

static inline unsigned tape_next(struct tape *tape)
{
	return tape->at < tape->end ? *tape->at++ : 0;
}

#endif
