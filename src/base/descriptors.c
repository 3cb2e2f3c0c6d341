#include "base/descriptors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

int descriptors_fill_standard(void)
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
void descriptors_close_inherited(void)
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
	unsigned limit;
	int n;

	if (!in)
		return RLIM_INFINITY;
	n = fscanf(in, "%u", &limit);
	fclose(in);
	return n == 1 ? limit : RLIM_INFINITY;
}

static rlim_t least(rlim_t a, rlim_t b)
{
	return a < b ? a : b;
}

uint32_t descriptors_raise(uint32_t wanted)
{
	struct rlimit limit, old;
	rlim_t most = system_limit();

	if (getrlimit(RLIMIT_NOFILE, &old) < 0)
		return 1024; /* what Linux has given since ever */
	limit.rlim_max = least(old.rlim_max, most);
	limit.rlim_cur = least(limit.rlim_max, wanted);
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		limit.rlim_cur = least(least(old.rlim_cur, most), wanted);
	return (uint32_t)limit.rlim_cur;
}
