/*
 * A container has a share of CPU time, not a set of CPUs: on a machine with
 * 64 of them its affinity mask has 64, and a quota of one CPU lets it run for
 * 100 ms in each 100 ms, by however many threads.  Quotas are of control
 * groups; the least from ours up to the root is the one that counts.
 *
 * /proc/self/cgroup names our group, relative to the root of our cgroup
 * namespace, and /sys/fs/cgroup is that root where the mount is of the same
 * namespace.  Where it is not, as in some containers, the files are not there,
 * and what cannot be read is no limit.  The quotas of cgroup v1 are not read.
 */
#include "base/cpus.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define GROUPS "/sys/fs/cgroup"

/* Lowers *cpus to the quota of one group. */
static void apply_quota(const char *group, unsigned *cpus)
{
	char path[4200];
	unsigned long long quota, period;
	FILE *in;

	snprintf(path, sizeof(path), GROUPS "%s/cpu.max", group);
	in = fopen(path, "re");
	if (!in)
		return;
	/* "max 100000" is no quota */
	if (fscanf(in, "%llu %llu", &quota, &period) == 2 && quota > 0 && period > 0 &&
	    (quota - 1) / period < *cpus)
		*cpus = (unsigned)((quota - 1) / period + 1);
	fclose(in);
}

/* Reads the name of our group, "" for the root.  False if there is none. */
static bool own_group(char *group, size_t size)
{
	FILE *in = fopen("/proc/self/cgroup", "re");
	bool found = false;

	if (!in)
		return false;
	while (!found && fgets(group, (int)size, in))
		found = strncmp(group, "0::/", 4) == 0; /* the line of version 2 */
	fclose(in);
	if (!found)
		return false;
	group[strcspn(group, "\n")] = '\0';
	memmove(group, group + 3, strlen(group + 3) + 1);
	return true;
}

unsigned cpus_available(void)
{
	char group[4096], *slash;
	cpu_set_t set;
	unsigned cpus;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1; /* more CPUs than the set holds: let the administrator say */
	cpus = (unsigned)CPU_COUNT(&set);
	if (!own_group(group, sizeof(group)))
		return cpus;
	apply_quota(group, &cpus);
	while ((slash = strrchr(group, '/'))) {
		*slash = '\0';
		apply_quota(group, &cpus);
	}
	return cpus;
}
