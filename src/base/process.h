/* SPDX-License-Identifier: MIT */
/*
 * process: what the process is given by whatever started it: signals, descriptors,
 * privileges, CPUs.
 *
 * Main thread, before the others start and before a filter of system calls is in force;
 * process_next_signal() also later.  Errors are -errno.
 */
#ifndef ECHOD_PROCESS_H
#define ECHOD_PROCESS_H

#include <stdint.h>

/*
 * Blocks SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGABRT, and has them delivered even if
 * our parent ignored them; ignores SIGPIPE and SIGXFSZ.  Call it first of all: a signal
 * that comes before is fatal, one that comes after is obeyed.
 */
void process_block_signals(void);

/*
 * A non-blocking descriptor (signalfd(2)) to wait for those signals but SIGABRT, the
 * caller's to close; or -errno.
 */
int process_open_signals(void);

/* The next signal, or 0 if there is none. */
int process_next_signal(int fd);

/*
 * Opens /dev/null for those of 0, 1 and 2 that are closed, so that no socket becomes the
 * place where messages are written.  A standard output that was closed cannot be written
 * to then either.  0 or -errno.
 */
int process_fill_descriptors(void);

/*
 * Closes descriptors that were inherited without being meant for us, so that they neither
 * count against the limit nor keep open what others wait for.  Those that were passed on
 * purpose must have FD_CLOEXEC by then.
 */
void process_close_descriptors(void);

/*
 * Raises the soft limit of descriptors to the hard one, though to no more than wanted:
 * with RLIM_INFINITY everything that is sized by the limit would explode.  The sysctl
 * fs.nr_open can allow less, and then lowers the hard limit, too.  Returns the soft limit
 * in force.
 */
uint32_t process_raise_descriptors(uint32_t wanted);

/* Warns of privileges other than the one capability that a port below 1024 needs. */
void process_check_privileges(void);

/*
 * How many CPUs the process may keep busy: those of the affinity mask, or fewer if its
 * control group, or one above it, has a quota (cgroup v2, cpu.max), of which a part
 * counts as a whole.  At least 1, and 1 if nothing is known.
 */
unsigned process_cpus(void);

#endif
