/* SPDX-License-Identifier: MIT */
/*
 * plot: draws streams of --json-stream and files of --histogram, by gnuplot(1).
 */
#ifndef ECHOC_PLOT_H
#define ECHOC_PLOT_H

#include "echoc/options.h"

/* An SVG on standard output or in a file.  The exit status. */
int plot_run(const struct options *options);

#endif
