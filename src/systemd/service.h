/*
 * service: what the service manager is told, by sd_notify(3).
 *
 * Without a manager (NOTIFY_SOCKET is not set) these do nothing; that it
 * cannot be reached is no reason to stop an echo, so nothing is returned.
 * Nothing here waits for a manager that does not read: what it was not told yet
 * is tried again by service_catch_up().  Main thread only.
 */
#ifndef ECHOD_SERVICE_H
#define ECHOD_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

/* True if there is a service manager to be told. */
bool service_is_managed(void);

/* Serving, after a start or a reload; status is one line for systemctl(1). */
void service_ready(const char *status);

/* A reload begins; service_ready() must follow, whatever becomes of it. */
void service_reloading(void);

/* Tells what has not been told yet, if the manager reads again. */
void service_catch_up(void);

/* The milliseconds until that is worth a try, -1: nothing is owed. */
int service_wait(void);

/* What systemctl(1) shows; one line. */
void service_status(const char *status);

/* The end has begun, and may take so long. */
void service_stopping(int64_t timeout_ms);

/* The end, by an error: -errno. */
void service_failed(int error);

/* The milliseconds in which a sign of life is awaited again and again; 0: none is. */
int64_t service_watchdog_ms(void);

/* The sign of life. */
void service_alive(void);

#endif
