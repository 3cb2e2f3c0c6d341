/*
 * notify: messages to the service manager (the protocol of sd_notify(3)).
 *
 * Without a manager, which is NOTIFY_SOCKET not set, these do nothing.  Any thread.
 */
#ifndef ECHOD_NOTIFY_H
#define ECHOD_NOTIFY_H

#include <stdbool.h>

/*
 * Sends the text, a line for each assignment, with fd unless it is negative.
 *
 * With patient it waits up to five seconds while the manager does not read, or
 * while there are no resources; but once that was in vain, not again until the
 * manager has read something, so that many messages take no longer than one.
 *
 * 0, -ETIMEDOUT if the same message can succeed later, or another -errno.
 */
int notify_tell(const char *text, int fd, bool patient);

/* As printf(3), without a descriptor, and not patient. */
int notify_tellf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Waits until the manager has obeyed all before; at most five seconds. */
void notify_barrier(void);

#endif
