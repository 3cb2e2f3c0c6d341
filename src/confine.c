/*
 * Lists, not one list: a worker, which handles what clients send, can do least.
 * But threads share their memory, so who has taken over one can in the end have
 * others act for him.  What holds against that is what none of them may: start a
 * program or a process, map memory that can be executed, write to a file that is
 * not open, trace or signal a process but this one.
 *
 * Calls that every echo makes are allowed whatever their arguments: for these the
 * kernel has its answer in a bitmap and does not run the filter (Linux 5.11).
 * Filters cannot look behind pointers, so not at addresses and paths.
 *
 * What is allowed is what was seen: strace -f over all tests.  What is not obvious
 * there is what glibc calls, and when:
 *
 *   memory   An arena for each thread would open files now and then: to count CPUs,
 *            and to ask about overcommitment before it shrinks.  With one for all
 *            there are brk(2) and mmap(2) only, and it is seldom asked for anything.
 *   the end  A thread that returns masks signals and gives back its stack.  Broken
 *            memory or a wrong assertion says so by writev(2) or write(2), and
 *            aborts by tgkill(2).
 *   stops    Who was stopped in a wait with a timeout goes on with
 *            restart_syscall(2).
 *   names    The interface in a link-local address is looked up by ioctl(2), for
 *            which glibc opens a socket of AF_UNIX.
 */
#include "confine.h"

#include "log.h"

#ifdef HAVE_SECCOMP

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <malloc.h>
#include <net/if.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#ifndef SYS_SECCOMP /* glibc had none; see sigaction(2) */
#define SYS_SECCOMP 1
#endif

#define MAIN CONFINE_MAIN
#define RESCUE CONFINE_RESCUE
#define ACCEPTOR CONFINE_ACCEPTOR
#define WORKER CONFINE_WORKER
#define ALL (MAIN | RESCUE | ACCEPTOR | WORKER)
#define GIVERS (MAIN | RESCUE) /* who may hand over to the next process */
#define CLIENTS (ACCEPTOR | WORKER)

/* A row of the lists: who may make this call, if these conditions hold. */
struct rule {
	int call; /* negative if this architecture has none of that name */
	unsigned roles;
	unsigned n_conditions;
	struct scmp_arg_cmp conditions[2];
};

/* clang-format off */
#define ALLOW(name, to) { .call = SCMP_SYS(name), .roles = (to) }
#define ALLOW_IF(name, to, ...) { \
	.call = SCMP_SYS(name), .roles = (to), .conditions = { __VA_ARGS__ }, \
	.n_conditions = sizeof((struct scmp_arg_cmp[]){ __VA_ARGS__ }) / sizeof(struct scmp_arg_cmp) }

/* Conditions for the arguments, which are counted from 0. */
#define IS(argument, value) { argument, SCMP_CMP_EQ, (scmp_datum_t)(value), 0 }
#define HAS_NOT(argument, bits) { argument, SCMP_CMP_MASKED_EQ, (scmp_datum_t)(bits), 0 }

static const struct rule rules[] = {
	/* the echo */
	ALLOW(epoll_wait, CLIENTS),
	ALLOW(epoll_pwait, CLIENTS), /* the same where there is no epoll_wait(2) */
	ALLOW(recvfrom, WORKER),
	ALLOW(splice, WORKER),
	ALLOW(shutdown, WORKER),
	ALLOW(accept4, ACCEPTOR),
	ALLOW(epoll_ctl, ACCEPTOR),
	ALLOW(sendto, ALL), /* also the log */
	ALLOW(read, ALL), /* eventfd, signalfd, pipe */
	ALLOW(write, ALL),
	ALLOW(close, ALL),
	ALLOW_IF(setsockopt, CLIENTS | RESCUE, IS(1, SOL_SOCKET), IS(2, SO_LINGER)),
	ALLOW_IF(ioctl, ALL, IS(1, SIOCOUTQ)),
	ALLOW_IF(ioctl, WORKER, IS(1, SIOCINQ)),
	/* the log, and waiting for it */
	ALLOW(sendmsg, ALL),
	ALLOW(poll, ALL),
	ALLOW(ppoll, ALL),
	ALLOW(clock_nanosleep, ALL),
	/* glibc */
	ALLOW(futex, ALL),
	ALLOW(clock_gettime, ALL), /* where the vDSO has no clock */
	ALLOW_IF(mmap, ALL, HAS_NOT(2, PROT_EXEC)),
	ALLOW(munmap, ALL),
	ALLOW(madvise, ALL),
	ALLOW(brk, ALL),
	ALLOW(restart_syscall, ALL),
	ALLOW(rt_sigprocmask, ALL),
	ALLOW_IF(writev, ALL, IS(0, STDERR_FILENO)),
	ALLOW(getpid, ALL),
	ALLOW(gettid, ALL),
	ALLOW(exit, CLIENTS),
	ALLOW(exit_group, GIVERS),
	ALLOW(sysinfo, GIVERS), /* how much memory qsort(3) may take */
	/* the interface in a link-local address */
	ALLOW_IF(ioctl, MAIN | ACCEPTOR, IS(1, SIOCGIFNAME)),
	ALLOW_IF(socket, ACCEPTOR, IS(0, AF_UNIX), IS(1, SOCK_DGRAM | SOCK_CLOEXEC)),
	/* handing over, and what the service manager is told: libsystemd looks at its credentials */
	ALLOW(rt_sigtimedwait, RESCUE),
	ALLOW(getuid, GIVERS),
	ALLOW(geteuid, GIVERS),
	ALLOW(getgid, GIVERS),
	ALLOW(getegid, GIVERS),
	ALLOW(getsockopt, GIVERS),
	ALLOW_IF(setsockopt, RESCUE, IS(1, SOL_SOCKET), IS(2, SO_SNDBUF)),
	ALLOW_IF(setsockopt, RESCUE, IS(1, SOL_SOCKET), IS(2, SO_SNDBUFFORCE)),
	ALLOW_IF(socket, GIVERS, IS(0, AF_UNIX)),
	ALLOW_IF(socketpair, GIVERS, IS(0, AF_UNIX)),
	ALLOW(memfd_create, GIVERS),
	ALLOW(fcntl, GIVERS),
	ALLOW(fstat, GIVERS),
	ALLOW(newfstatat, GIVERS), /* glibc's fstat(3) */
	ALLOW(pipe2, GIVERS), /* a barrier */
	/* a reload, and listeners */
	ALLOW_IF(openat, MAIN, HAS_NOT(2, O_ACCMODE | O_CREAT | O_TRUNC)),
	ALLOW(readlinkat, MAIN), /* what a dangling link was meant to be */
	ALLOW_IF(socket, MAIN, IS(0, AF_INET)),
	ALLOW_IF(socket, MAIN, IS(0, AF_INET6)),
	ALLOW(bind, MAIN),
	ALLOW(listen, MAIN),
	ALLOW(setsockopt, MAIN),
	ALLOW(getsockname, MAIN),
	ALLOW_IF(ioctl, MAIN, IS(1, TCGETS)), /* libconfuse's scanner, whatever it reads */
	ALLOW(mremap, MAIN), /* its buffer grows */
	ALLOW_IF(ioctl, MAIN, IS(1, SIOCGIFINDEX)),
	/* the system bus, which is asked at a stop whether it is a restart */
	ALLOW(connect, MAIN),
	ALLOW(recvmsg, MAIN),
	ALLOW(getrandom, MAIN),
};
/* clang-format on */

#define N_RULES (sizeof(rules) / sizeof(rules[0]))

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

/* In decimal; a signal handler cannot use stdio. */
static const char *format(unsigned number, char buffer[static 12])
{
	char *at = buffer + 11;

	*at = '\0';
	do
		*--at = (char)('0' + number % 10);
	while (number /= 10);
	return at;
}

static void report(const siginfo_t *info)
{
	const char *thread = self ? self : "a thread", *name = name_of(info), *number;
	char buffer[12], text[256], *at;
	struct log_record r;

	number = format((unsigned)info->si_syscall, buffer);
	at = stpcpy(stpcpy(text, thread), " made the system call ");
	at = stpcpy(stpcpy(stpcpy(at, name), " ("), number);
	stpcpy(at, "), which it may not: ending");
	log_begin(&r, EVENT_SYSTEM_CALL_FORBIDDEN);
	log_text(&r, "ECHOD_THREAD", thread);
	log_text(&r, "ECHOD_SYSTEM_CALL", name);
	log_text(&r, "ECHOD_NUMBER", number);
	log_end_text(&r, text);
	log_flush(LOG_FLUSH_ERROR_MS);
}

static void on_sigsys(int signal_number, siginfo_t *info, void *context)
{
	(void)context;
	if (info->si_code == SYS_SECCOMP)
		report(info);
	/*
	 * Who is confined may not do this, and dies of it: SIGSYS is blocked here,
	 * and then the kernel calls no handler.  Who is not gets it on return.
	 */
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static void find_names(void)
{
	for (size_t i = 0; i < N_NAMES; i++)
		names[i] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)i);
}

int confine_init(bool wanted)
{
	struct sigaction action = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO };
	uint32_t trap = SECCOMP_RET_TRAP;

	if (!wanted)
		return 0;
	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &trap) < 0)
		return -errno;
	mallopt(M_ARENA_MAX, 1);
	find_names();
	sigaction(SIGSYS, &action, NULL);
	confining = true;
	return 0;
}

static int add_rules(scmp_filter_ctx filter, enum confine_role role)
{
	/* abort(3) signals the thread itself. */
	int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				 (struct scmp_arg_cmp)IS(0, getpid()));

	/* Into this a tracer turns a call that it answers itself; there is none of that number. */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, -1, 0);
	for (size_t i = 0; i < N_RULES && r == 0; i++) {
		const struct rule *rule = &rules[i];

		if (rule->call >= 0 && (rule->roles & role))
			r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rule->call,
						   rule->n_conditions, rule->conditions);
	}
	return r;
}

/* Makes the filter of a role and loads it, with no_new_privs.  0 or -errno. */
static int load(enum confine_role role)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
	int r;

	if (!filter)
		return -ENOMEM;
	/* Else a call of another architecture would end this thread, and nobody else. */
	r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_TRAP);
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1); /* -errno as it is */
	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_API_TSKIP, 1); /* a rule for -1 */
	if (r == 0)
		r = add_rules(filter, role);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

static void give_up(const char *name, int error)
{
	struct log_record r;

	log_begin(&r, EVENT_START_FAILED);
	log_errno(&r, error);
	log_end(&r, "cannot start: no system call filter for %s: %s", name, strerrordesc_np(error));
	log_flush(LOG_FLUSH_ERROR_MS);
	_exit(EX_OSERR);
}

void confine_enter(enum confine_role role, const char *name)
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

void confine_enter(enum confine_role role, const char *name)
{
	(void)role;
	(void)name;
}

#endif
