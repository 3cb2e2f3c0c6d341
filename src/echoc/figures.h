/* SPDX-License-Identifier: MIT */
/*
 * figures: numbers and times as people read them.
 *
 * The texts are valid until the 16th call after, and for one thread.
 */
#ifndef ECHOC_FIGURES_H
#define ECHOC_FIGURES_H

#include <stdint.h>

/* "100,035" */
const char *figures_count(uint64_t number);

/* Three digits, or all of a larger number: "0.25", "12.5", "100,035". */
const char *figures_number(double number);

/* ns in the unit that fits: "17.0 us", "1.25 ms", "68.7 s". */
const char *figures_time(double ns);

#endif
