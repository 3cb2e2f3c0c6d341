#include "base/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const int obeyed[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };

#define N_OBEYED (sizeof(obeyed) / sizeof(obeyed[0]))

static void make_set(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < N_OBEYED; i++)
		sigaddset(set, obeyed[i]);
}

void signals_block(void)
{
	sigset_t set;

	make_set(&set);
	sigaddset(&set, SIGABRT); /* for rescue.h; abort(3) unblocks it */
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* nohup(1) and "&" in a script ignore some, and so would the signalfd. */
	for (size_t i = 0; i < N_OBEYED; i++)
		signal(obeyed[i], SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* at a limit of file sizes, write(2) fails with EFBIG */
}

int signals_open(void)
{
	sigset_t set;
	int fd;

	make_set(&set);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int signals_next(int fd)
{
	struct signalfd_siginfo info;

	return read(fd, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}
