/* SPDX-License-Identifier: MIT */
/*
 * Loading the filters, and the record of a violation.  The rules are in calls.c.
 */
#include "base/confine.h"

#include "base/log.h"

#ifdef HAVE_SECCOMP

#include <errno.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#ifndef SYS_SECCOMP /* glibc had none; see sigaction(2) */
#define SYS_SECCOMP 1
#endif

/* The names of calls by their numbers, for the handler, which cannot look them up. */
static char *names[1024];

#define N_NAMES (sizeof(names) / sizeof(names[0]))

static bool confining;
static _Thread_local const char *self;

static const char *name_of(const siginfo_t *info)
{
	unsigned number = (unsigned)info->si_syscall;
	bool native = info->si_arch == seccomp_arch_native();

	return native && number < N_NAMES && names[number] ? names[number] : "unknown";
}

/* Without stdio, which a signal handler cannot use. */
static void report(const siginfo_t *info)
{
	const char *thread = self ? self : "a thread", *name = name_of(info);
	unsigned number = (unsigned)info->si_syscall;
	char text[256], *at;

	at = stpcpy(stpcpy(text, thread), " violated its system call filter with ");
	at = log_put_number(stpcpy(stpcpy(at, name), " ("), number);
	stpcpy(at, "): ending");
	log_event_text(EVENT_SYSTEM_CALL_FORBIDDEN,
		       FIELDS(FIELD("ECHOD_THREAD", thread), FIELD("ECHOD_SYSTEM_CALL", name),
			      FIELD_NUMBER("ECHOD_NUMBER", number)),
		       text);
	log_flush(LOG_FLUSH_ERROR_MS);
}

static void on_sigsys(int signal_number, siginfo_t *info, void *context)
{
	(void)context;
	if (info->si_code == SYS_SECCOMP)
		report(info);
	/*
	 * In a confined thread this violates the filter again, and SIGSYS is blocked
	 * here, so the kernel ends the process.  Another thread ends on return.
	 */
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

int confine_init(bool wanted)
{
	struct sigaction action = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO };
	uint32_t trap = SECCOMP_RET_TRAP;

	if (!wanted)
		return 0;
	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &trap) < 0) {
		log_error("no system call filter can be installed; system_call_filter = false "
			  "turns it off");
		return -errno; /* log_error() leaves it as it was */
	}
	mallopt(M_ARENA_MAX, 1);
	for (size_t i = 0; i < N_NAMES; i++)
		names[i] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)i);
	sigaction(SIGSYS, &action, NULL);
	confining = true;
	return 0;
}

/* Makes the filter of a role and loads it, with no_new_privs.  0 or -errno. */
static int load(enum calls_role role)
{
	scmp_filter_ctx filter = seccomp_init(calls_default(role));
	int r;

	if (!filter)
		return -ENOMEM;
	/* Else a call of another architecture would end this thread only. */
	r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_TRAP);
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1); /* -errno as it is */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_API_TSKIP, 1); /* a rule for -1 */
	if (r == 0)
		r = calls_add(filter, role);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

static void give_up(const char *name, int error)
{
	log_event(EVENT_START_FAILED, FIELDS(FIELD_ERRNO(error)),
		  "cannot start: no system call filter for %s: %s", name, strerrordesc_np(error));
	log_flush(LOG_FLUSH_ERROR_MS);
	_exit(EX_OSERR);
}

void confine_enter(enum calls_role role, const char *name)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* libseccomp has none */
	int r;

	if (!confining)
		return;
	self = name;
	pthread_mutex_lock(&lock);
	r = load(role);
	pthread_mutex_unlock(&lock);
	if (r < 0)
		give_up(name, -r);
}

#else

int confine_init(bool wanted)
{
	if (wanted)
		log_debug("no system call filter: this build has none");
	return 0;
}

void confine_enter(enum calls_role role, const char *name)
{
	(void)role;
	(void)name;
}

#endif
