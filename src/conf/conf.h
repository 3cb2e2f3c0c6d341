/* SPDX-License-Identifier: MIT */
/*
 * conf: what the administrator has set, from the file to values.
 *
 * The way of a value: textfile.h reads the file, preflight.h cuts it into
 * statements and refuses what is no setting, libconfuse reads the others one by
 * one, and its callbacks look each value up in the table of option.h and put it
 * into struct conf (option.h).  main gives that to the supervisor, which gives
 * listen/ and reactor/ their parts; workers read it through the reactor.
 *
 * This folder alone includes libconfuse, and of the daemon base/ only.
 * libconfuse's scanner has global state: call these functions from the main
 * thread only.
 */
#ifndef ECHOD_CONF_H
#define ECHOD_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "conf/option.h"
#include "conf/problems.h"

/* Where a configuration comes from.  The strings must outlive it. */
struct conf_source {
	const char *path;	/* a file, or NULL for none */
	bool may_be_missing;	/* nothing at that path means the defaults */
	const char **overrides; /* "NAME=VALUE", in the file's own syntax */
	size_t n_overrides;
};

/*
 * Fills *conf with the defaults, then from the file, then from the overrides.
 *
 * Returns 0, or -EINVAL for a file or an override that is refused, or another
 * negative errno if the file cannot be read; then problems has at least one,
 * and *conf is not to be used.
 */
int conf_load(struct conf *conf, const struct conf_source *source, struct problems *problems);

/* Writes every option with its value; conf_load() of that text gives the same. */
void conf_print(const struct conf *conf, FILE *out);

/*
 * Puts those values of *next that only a restart can change back to what
 * *running has, and calls kept() with the name of each that differed.
 */
void conf_keep_fixed(struct conf *next, const struct conf *running, void (*kept)(const char *name));

#endif
