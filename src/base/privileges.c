#include "base/privileges.h"

#include <linux/capability.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

/* The permitted set, or nothing if it cannot be read.  glibc has no wrapper. */
static uint64_t capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	if (syscall(SYS_capget, &header, sets) < 0)
		return 0;
	return sets[0].permitted | (uint64_t)sets[1].permitted << 32;
}

void privileges_check(void)
{
	const char *which = NULL;

	if (geteuid() == 0) /* without any capability it still owns the system's files */
		which = "as root";
	else if (capabilities() & ~(UINT64_C(1) << CAP_NET_BIND_SERVICE))
		which = "with more capabilities than CAP_NET_BIND_SERVICE";
	if (which)
		log_warning("running %s, which is not needed: another user will do, and "
			    "CAP_NET_BIND_SERVICE alone for a port below 1024",
			    which);
}
