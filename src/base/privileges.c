#include "base/privileges.h"

#include <linux/capability.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The permitted set, or nothing if it cannot be read.  glibc has no wrapper. */
static uint64_t capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	if (syscall(SYS_capget, &header, sets) < 0)
		return 0;
	return sets[0].permitted | (uint64_t)sets[1].permitted << 32;
}

/* Root without any capability still owns the files of the system. */
const char *privileges_needless(void)
{
	if (geteuid() == 0)
		return "running as root";
	if (capabilities() & ~(UINT64_C(1) << CAP_NET_BIND_SERVICE))
		return "running with more capabilities than CAP_NET_BIND_SERVICE";
	return NULL;
}
