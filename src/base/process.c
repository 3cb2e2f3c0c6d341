/* SPDX-License-Identifier: MIT */
/*
 * CPUs: a container has a share of CPU time, not a set of CPUs: on a machine with 64 of
 * them its affinity mask has 64, and a quota of one CPU lets it run for 100 ms in each
 * 100 ms, by however many threads.  Quotas are of control groups; the least from ours up
 * to the root is the one that counts.
 *
 * /proc/self/cgroup names our group, relative to the root of our cgroup namespace, and
 * /sys/fs/cgroup is that root where the mount is of the same namespace.  Where it is not,
 * as in some containers, the files are not there, and what cannot be read is no limit.
 * The quotas of cgroup v1 are not read.
 */
#include "base/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

static sigset_t obeyed; /* see process_block_signals() */

void process_block_signals(void)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };
	const size_t n = sizeof(signals) / sizeof(signals[0]);
	sigset_t blocked;

	sigemptyset(&obeyed);
	for (size_t i = 0; i < n; i++)
		sigaddset(&obeyed, signals[i]);
	blocked = obeyed;
	sigaddset(&blocked, SIGABRT); /* for the rescue thread; abort(3) unblocks it */
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	for (size_t i = 0; i < n; i++)
		signal(signals[i], SIG_DFL); /* nohup(1) and "&" in a script ignore some */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* at a limit of file sizes, write(2) fails with EFBIG */
}

int process_open_signals(void)
{
	int fd = signalfd(-1, &obeyed, SFD_CLOEXEC | SFD_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

int process_next_signal(int fd)
{
	struct signalfd_siginfo info;

	return read(fd, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

int process_fill_descriptors(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR); /* the lowest that is free */
		if (fd == STDOUT_FILENO) { /* what is printed there must not seem to be written */
			close(fd);
			fd = open("/dev/null", O_RDONLY);
		}
		if (fd < 0)
			return -errno;
	} while (fd <= STDERR_FILENO);
	close(fd);
	return 0;
}

/*
 * What has FD_CLOEXEC was not inherited: a library or a tool within this
 * process has opened it since.  Without /proc nothing is closed.
 */
void process_close_descriptors(void)
{
	DIR *all = opendir("/proc/self/fd");
	struct dirent *entry;

	if (!all)
		return;
	while ((entry = readdir(all))) {
		int fd = atoi(entry->d_name); /* "." and ".." give 0 */

		if (fd > STDERR_FILENO && fcntl(fd, F_GETFD) == 0)
			close(fd);
	}
	closedir(all);
}

/* The most that any process may have.  Above it setrlimit(2) fails. */
static rlim_t system_limit(void)
{
	FILE *in = fopen("/proc/sys/fs/nr_open", "re");
	rlim_t limit = RLIM_INFINITY;
	unsigned number;

	if (!in)
		return limit;
	if (fscanf(in, "%u", &number) == 1)
		limit = number;
	fclose(in);
	return limit;
}

uint32_t process_raise_descriptors(uint32_t wanted)
{
	struct rlimit limit, old;
	rlim_t most = system_limit();

	if (getrlimit(RLIMIT_NOFILE, &old) < 0) /* in a sandbox it can */
		return 1024;
	limit.rlim_max = MIN(old.rlim_max, most);
	limit.rlim_cur = MIN(limit.rlim_max, wanted);
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		limit.rlim_cur = MIN(MIN(old.rlim_cur, most), wanted);
	return (uint32_t)limit.rlim_cur;
}

/* The permitted set, or nothing if it cannot be read.  glibc has no wrapper. */
static uint64_t capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	if (syscall(SYS_capget, &header, sets) < 0)
		return 0;
	return sets[0].permitted | (uint64_t)sets[1].permitted << 32;
}

void process_check_privileges(void)
{
	const char *which = NULL;

	if (geteuid() == 0) /* without any capability it still owns the system's files */
		which = "as root";
	else if (capabilities() & ~(UINT64_C(1) << CAP_NET_BIND_SERVICE))
		which = "with more capabilities than CAP_NET_BIND_SERVICE";
	if (which)
		log_warning("running %s, which is not needed: use another user, with "
			    "CAP_NET_BIND_SERVICE only for a port below 1024",
			    which);
}

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

/* Reads the name of our group, which ends at the result; NULL if there is none. */
static char *own_group(char *group, size_t size)
{
	FILE *in = fopen("/proc/self/cgroup", "re");
	bool found = false;

	if (!in)
		return NULL;
	while (!found && fgets(group, (int)size, in))
		found = strncmp(group, "0::/", 4) == 0; /* the line of version 2 */
	fclose(in);
	if (!found)
		return NULL;
	memmove(group, group + 3, strlen(group + 3) + 1);
	return group + strcspn(group, "\n");
}

unsigned process_cpus(void)
{
	char group[4096], *slash;
	cpu_set_t set;
	unsigned cpus;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1; /* more CPUs than the set holds: workers must be configured */
	cpus = (unsigned)CPU_COUNT(&set);
	for (slash = own_group(group, sizeof(group)); slash; slash = strrchr(group, '/')) {
		*slash = '\0';
		apply_quota(group, &cpus);
	}
	return cpus;
}
