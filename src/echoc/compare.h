/* SPDX-License-Identifier: MIT */
/*
 * compare: the runs of files beside those of the first one.
 */
#ifndef ECHOC_COMPARE_H
#define ECHOC_COMPARE_H

#include "echoc/options.h"

/* The exit status. */
int compare_run(const struct options *options);

#endif
