/*
 * cpus: how many CPUs the process may keep busy.
 *
 * Any thread, before a filter of system calls is in force.
 */
#ifndef ECHOD_CPUS_H
#define ECHOD_CPUS_H

/*
 * The CPUs of the affinity mask, or fewer if a control group of ours, or one
 * that it is in, has a quota (cgroup v2, cpu.max); of that a part counts as
 * a whole.  At least 1, and 1 if nothing is known.
 */
unsigned cpus_available(void);

#endif
