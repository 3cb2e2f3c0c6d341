/* SPDX-License-Identifier: MIT */
/*
 * failing: calls of the system and of the C library that fail on demand.
 *
 * The linker puts them in the place of the real ones (--wrap, see
 * tests/local.mk).  They are counted together, whichever thread makes them; the
 * one whose turn it is does nothing and fails, as it always may.
 */
#ifndef ECHOD_TESTS_FAILING_H
#define ECHOD_TESTS_FAILING_H

#include <stdbool.h>

/* The nth call from now on fails, and no other. */
void failing_begin(unsigned nth);

/* The same, if only those of this thread count. */
void failing_begin_here(unsigned nth);

/* No call fails any more.  True if one has: so many were made. */
bool failing_end(void);

#endif
