/*
 * privileges: those that the process has and does not need.
 *
 * Any thread, before a filter of system calls is in force.
 */
#ifndef ECHOD_PRIVILEGES_H
#define ECHOD_PRIVILEGES_H

/* Warns if it has more than the one capability that a port below 1024 needs. */
void privileges_check(void);

#endif
