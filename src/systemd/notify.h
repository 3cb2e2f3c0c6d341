/* SPDX-License-Identifier: MIT */
/*
 * notify: what the service manager is told (the protocol of sd_notify(3)).
 *
 * This folder is all that knows systemd, beside listen/activation: what it is
 * told (here), what it keeps for us (fdstore.h), and what it is asked (job.h).
 * Main calls all of it; the thread of restart/rescue.h may call what is marked.
 * It includes base/ only.
 *
 * Without a manager, which is NOTIFY_SOCKET not set, nothing is sent.  States
 * return no error, for an echo need not stop when the manager cannot be
 * reached, and never wait: what a manager that does not read was not told yet is
 * sent again by notify_retry().
 */
#ifndef ECHOD_NOTIFY_H
#define ECHOD_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/* True if there is a service manager to be told. */
bool notify_is_managed(void);

/* READY=1: serving, after a start or a reload; status is one line for systemctl(1). */
void notify_ready(const char *status);

/* RELOADING=1; notify_ready() must follow, whether the reload succeeds or not. */
void notify_reloading(void);

/* STOPPING=1; the stop may take so long. */
void notify_stopping(int64_t timeout_ms);

/* ERRNO=: the start has failed by -errno. */
void notify_failed(int error);

/* STATUS= alone: one line for systemctl(1). */
void notify_status(const char *status);

/* Sends again the last state and status, if they were not sent yet. */
void notify_retry(void);

/* When that is due, in ms of the clock; INT64_MAX: all was sent. */
int64_t notify_due(void);

/* The milliseconds in which WATCHDOG=1 is expected again and again; 0: it is not.  Any thread. */
int64_t notify_watchdog_ms(void);

/*
 * Any thread: sends a text, a line for each assignment, with fd unless it is -1.
 *
 * If patient, waits up to five seconds while the manager does not read, or
 * while resources are short; but after that was in vain, not again until the
 * manager has read something, so that many messages take no longer than one.
 *
 * 0, -ETIMEDOUT if the same message can succeed later, or another -errno.
 */
int notify_send(const char *text, int fd, bool patient);

/* Any thread: waits until the manager has processed all before; at most five seconds. */
void notify_barrier(void);

#endif
