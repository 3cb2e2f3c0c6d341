/*
 * privileges: those that the process has and does not need.
 *
 * Any thread, before a filter of system calls is in force.
 */
#ifndef ECHOD_PRIVILEGES_H
#define ECHOD_PRIVILEGES_H

/*
 * What it has beyond the one capability that a port below 1024 needs, as the
 * beginning of a sentence; NULL if there is nothing.
 */
const char *privileges_needless(void);

#endif
