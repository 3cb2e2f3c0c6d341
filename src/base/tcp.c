/* SPDX-License-Identifier: MIT */
#include "base/tcp.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static uint32_t ask(int fd, unsigned long queue)
{
	int n = 0;

	(void)ioctl(fd, queue, &n);
	return (uint32_t)n;
}

uint32_t tcp_unacknowledged(int fd)
{
	return ask(fd, SIOCOUTQ);
}

uint32_t tcp_arrived(int fd)
{
	return ask(fd, SIOCINQ);
}

void tcp_reset_on_close(int fd, bool reset)
{
	struct linger linger = { .l_onoff = reset, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}
