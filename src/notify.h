/*
 * notify: a word to the service manager (sd_notify(3)), said again if it cannot
 * be sent for a moment, as for want of memory: systemd would wait in vain for
 * READY=1, and keep what we have asked it to forget.
 */
#ifndef ECHOD_NOTIFY_H
#define ECHOD_NOTIFY_H

/* Tells the text, a line for each assignment, with fd unless it is negative. */
void notify_tell(const char *text, int fd);

/* As printf(3), without a descriptor. */
void notify_tellf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Waits until the manager has obeyed all before; at most five seconds. */
void notify_barrier(void);

#endif
