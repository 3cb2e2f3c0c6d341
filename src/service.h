/*
 * service: what the service manager is told, by sd_notify(3).
 *
 * Without a manager (NOTIFY_SOCKET is not set) these do nothing; that it
 * cannot be reached is no reason to stop an echo, so nothing is returned.
 * Main thread only.
 */
#ifndef ECHOD_SERVICE_H
#define ECHOD_SERVICE_H

#include <stdbool.h>

/* True if there is a service manager to be told. */
bool service_is_managed(void);

/* Serving, after a start or a reload; status is one line for systemctl(1). */
void service_ready(const char *status);

/* A reload begins; service_ready() must follow, whatever becomes of it. */
void service_reloading(void);

/* The end has begun. */
void service_stopping(void);

#endif
