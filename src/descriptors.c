#include "descriptors.h"

#include <errno.h>
#include <fcntl.h>
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

uint32_t descriptors_raise(uint32_t wanted)
{
	struct rlimit limit, old;

	if (getrlimit(RLIMIT_NOFILE, &old) < 0)
		return 1024; /* what Linux has given since ever */
	limit = old;
	limit.rlim_cur = old.rlim_max < wanted ? old.rlim_max : wanted;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		limit.rlim_cur = old.rlim_cur < wanted ? old.rlim_cur : wanted;
	return (uint32_t)limit.rlim_cur;
}
