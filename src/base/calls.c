/* SPDX-License-Identifier: MIT */
/*
 * Two lists, for two kinds of code.
 *
 * I/O threads, the workers and the acceptor, run our code and a known part of glibc's,
 * and handle what clients send.  Their list is complete: a call that is not on it is a
 * bug or an attack, and ends the process.  They share one list, since the calls that
 * only one of them needs are of no use to the other: accepting, receiving and adding to
 * an epoll instance need descriptors that exist already.
 *
 * Control threads, main and rescue, also run libsystemd, libconfuse and glibc, whose
 * calls differ between versions, and depend on /etc and the environment, which are the
 * administrator's.  No list of them can be complete, so a call without a rule fails with
 * ENOSYS, as in an older kernel: glibc and libsystemd then fall back to an older call
 * (openat2, clone3, statx, faccessat2) or report an error.  After EPERM they would not
 * fall back.
 *
 * There too, calls that an attacker needs and no library makes in these threads end the
 * process (END).  Calls that a library might make, and an attacker could use, fail:
 *
 *   clone, fork   libsystemd starts a program for a bus address "unixexec:"
 *   mmap          glibc maps a library executable to resolve host names
 *                 (nsswitch.conf); without a file it is an END
 *   openat2       has its flags behind a pointer, where filters cannot look
 *
 * Threads share their memory, so an attacker in one thread can in the end act in any
 * other.  What still holds then is what neither list allows.
 *
 * Calls that every echo makes are allowed whatever their arguments: for these the kernel
 * keeps the result in a bitmap and does not run the filter (Linux 5.11).  i386 has one
 * call for all socket operations, socketcall(2), with the arguments behind a pointer, so
 * a rule can only say which operation.  libseccomp makes that rule itself from one
 * without a condition, or with one for the first argument only.
 *
 * No two rules for one call may overlap: which of them applies is not defined.
 *
 * What glibc calls in I/O threads, and when:
 *
 *   memory   An arena for each thread would open files now and then, to count CPUs and
 *            to ask about overcommitment before it shrinks.  With one for all there are
 *            brk(2) and mmap(2) only, and both are rare.
 *   exit     A thread that returns masks signals and unmaps its stack.  Corrupted memory
 *            or a failed assertion is reported by writev(2) or write(2), and ends in
 *            abort(3): tgkill(2), and rt_sigaction(2) since glibc 2.41.
 *   stop     After SIGSTOP in a wait with a timeout comes restart_syscall(2).
 *   names    The interface in a link-local address is looked up by ioctl(2), for which
 *            glibc opens a socket of AF_UNIX.
 *   32 bits  Times have calls of their own (Linux 5.1), which glibc tries first.
 */
#include "base/calls.h"

#ifdef HAVE_SECCOMP

#include <errno.h>
#include <fcntl.h>
#include <linux/net.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONTROL CALLS_OF_CONTROL
#define IO CALLS_OF_IO
#define BOTH (CONTROL | IO)

struct rule {
	const char *calls; /* their names, those too that only other architectures have */
	unsigned roles;
	bool ends; /* the process, instead of being allowed */
	struct scmp_arg_cmp conditions[2];
};

/* clang-format off */
#define ALLOW(to, names) { .calls = names, .roles = (to) }
#define ALLOW_IF(to, names, ...) { .calls = names, .roles = (to), .conditions = { __VA_ARGS__ } }
#define END(names) { .calls = names, .roles = CONTROL, .ends = true }
#define END_IF(names, ...) { \
	.calls = names, .roles = CONTROL, .ends = true, .conditions = { __VA_ARGS__ } }

/* Conditions for the arguments, which are counted from 0. */
#define IS(argument, value) { argument, SCMP_CMP_EQ, (scmp_datum_t)(value), 0 }
#define HAS(argument, bits) \
	{ argument, SCMP_CMP_MASKED_EQ, (scmp_datum_t)(bits), (scmp_datum_t)(bits) }
#define HAS_NOT(argument, bits) { argument, SCMP_CMP_MASKED_EQ, (scmp_datum_t)(bits), 0 }
#define ACCESS(argument, mode) { argument, SCMP_CMP_MASKED_EQ, O_ACCMODE, mode }

/* A file may be opened for reading; any other way is an END. */
#define OPEN(name, flags) \
	ALLOW_IF(CONTROL, name, HAS_NOT(flags, O_ACCMODE | O_CREAT | O_TRUNC)), \
	END_IF(name, ACCESS(flags, O_WRONLY)), END_IF(name, ACCESS(flags, O_RDWR)), \
	END_IF(name, ACCESS(flags, O_ACCMODE)), \
	END_IF(name, HAS(flags, O_CREAT)), END_IF(name, HAS(flags, O_TRUNC))

/* mmap(2) has its arguments behind a pointer where there is mmap2(2). */
#if defined(__x86_64__) && defined(__LP64__)
#define MMAP "mmap"
#else
#define MMAP "mmap2"
#endif

#define TERMINAL_FLAGS 0x802c542a /* TCGETS2, isatty(3) since glibc 2.42 */

static const struct rule rules[] = {
	/* the echo; where there is no epoll_wait(2), epoll_pwait(2) is the same */
	ALLOW(IO, "epoll_wait epoll_pwait epoll_ctl accept4 recvfrom recv splice shutdown"),
	ALLOW(BOTH, "sendto send read write close"), /* also eventfd, signalfd, pipe and log */
	ALLOW_IF(IO, "setsockopt", IS(1, SOL_SOCKET), IS(2, SO_LINGER)),
	ALLOW_IF(BOTH, "ioctl", IS(1, SIOCOUTQ)),
	ALLOW_IF(BOTH, "ioctl", IS(1, SIOCINQ)),
	ALLOW_IF(BOTH, "ioctl", IS(1, SIOCGIFNAME)),
	ALLOW_IF(IO, "socket", IS(0, AF_UNIX), IS(1, SOCK_DGRAM | SOCK_CLOEXEC)),
	ALLOW_IF(IO, "socketcall", IS(0, SYS_SETSOCKOPT)), /* the same two on i386 */
	ALLOW_IF(IO, "socketcall", IS(0, SYS_SOCKET)),
	/* the log, and waiting for it */
	ALLOW(BOTH, "sendmsg poll ppoll ppoll_time64 clock_nanosleep clock_nanosleep_time64"),
	/* glibc; clock_gettime(2) where the vDSO has no clock */
	ALLOW(BOTH, "futex futex_time64 clock_gettime clock_gettime64 munmap madvise brk "
		    "restart_syscall rt_sigprocmask getpid gettid exit"),
	/* executable memory: with a file the call fails */
	ALLOW_IF(BOTH, MMAP, HAS_NOT(2, PROT_EXEC)),
	END_IF(MMAP, HAS(2, PROT_EXEC), HAS(3, MAP_ANONYMOUS)),
	ALLOW_IF(BOTH, "rt_sigaction", IS(0, SIGABRT)),
	END_IF("rt_sigaction", IS(0, SIGSYS)), /* the record; the handler ends with this, too */
	ALLOW_IF(IO, "writev", IS(0, STDERR_FILENO)),

	/* control: what libraries do with descriptors, sockets, memory and time */
	ALLOW(CONTROL, "exit_group readv writev pread64 lseek _llseek memfd_create ftruncate "
		       "ftruncate64 pipe2 eventfd2 dup dup3 bind listen connect getsockname "
		       "getpeername getsockopt setsockopt recvmsg recvfrom recv rt_sigtimedwait "
		       "rt_sigtimedwait_time64 mremap getrandom sched_yield sched_getaffinity"),
	ALLOW_IF(CONTROL, "fcntl fcntl64", IS(1, F_DUPFD)),
	ALLOW_IF(CONTROL, "fcntl fcntl64", IS(1, F_DUPFD_CLOEXEC)),
	ALLOW_IF(CONTROL, "fcntl fcntl64", IS(1, F_GETFD)),
	ALLOW_IF(CONTROL, "fcntl fcntl64", IS(1, F_SETFD)),
	ALLOW_IF(CONTROL, "fcntl fcntl64", IS(1, F_GETFL)),
	ALLOW_IF(CONTROL, "fcntl fcntl64", IS(1, F_SETFL)),
	ALLOW_IF(CONTROL, "fcntl fcntl64", IS(1, F_ADD_SEALS)),
	ALLOW_IF(CONTROL, "fcntl fcntl64", IS(1, F_GET_SEALS)),
	ALLOW_IF(CONTROL, "socket", IS(0, AF_INET)),
	ALLOW_IF(CONTROL, "socket", IS(0, AF_INET6)),
	ALLOW_IF(CONTROL, "socket socketpair", IS(0, AF_UNIX)),
	ALLOW_IF(CONTROL, "ioctl", IS(1, TCGETS)), /* libconfuse's scanner looks for a terminal */
	ALLOW_IF(CONTROL, "ioctl", IS(1, TERMINAL_FLAGS)),
	ALLOW_IF(CONTROL, "ioctl", IS(1, SIOCGIFINDEX)),
	ALLOW_IF(CONTROL, "mprotect", HAS_NOT(2, PROT_EXEC)),
	/* control: queries about itself, and about files that it may read anyway */
	ALLOW(CONTROL, "fstat fstat64 newfstatat fstatat64 statx stat stat64 lstat lstat64 fstatfs "
		       "fstatfs64 statfs statfs64 access faccessat faccessat2 readlink readlinkat "
		       "getdents64 getcwd uname sysinfo gettimeofday time clock_getres "
		       "clock_getres_time64 getppid getuid geteuid getgid getegid getuid32 "
		       "geteuid32 getgid32 getegid32 getrlimit ugetrlimit"),
	ALLOW_IF(CONTROL, "prlimit64", IS(0, 0), IS(2, 0)), /* getrlimit(2) */

	/* control: files, only for reading */
	OPEN("openat", 2), OPEN("open", 1), END("creat truncate truncate64"),
	/* programs, also by a terminal's input */
	END("execve execveat"), END_IF("ioctl", IS(1, TIOCSTI)),
	/* memory that can be executed */
	END_IF("mprotect pkey_mprotect", HAS(2, PROT_EXEC)), END("remap_file_pages personality"),
	/* other processes, and this one's threads from outside of the filter */
	END("ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd "
	    "perf_event_open userfaultfd io_uring_setup bpf seccomp modify_ldt"),
	/* signals, also by the readiness of a descriptor; tgkill(2) see calls_add() */
	END("kill tkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal"),
	END_IF("fcntl fcntl64", IS(1, F_SETOWN)), END_IF("fcntl fcntl64", IS(1, F_SETOWN_EX)),
	/* the system */
	END("init_module finit_module delete_module kexec_load kexec_file_load reboot iopl ioperm "
	    "swapon swapoff mount umount umount2 move_mount open_tree mount_setattr fsopen fspick "
	    "pivot_root chroot unshare setns"),
	/* identity */
	END("setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups "
	    "setuid32 setgid32 setreuid32 setregid32 setresuid32 setresgid32 setfsuid32 "
	    "setfsgid32 setgroups32 capset add_key request_key keyctl"),
};
/* clang-format on */

#define N_RULES (sizeof(rules) / sizeof(rules[0]))

/* Numbers of a socket's calls on i386, which libseccomp makes into one, see <seccomp.h>. */
#define SOCKET_CALL_FIRST (-101)
#define SOCKET_CALL_LAST (-120)

static bool exists(int call)
{
	if (call >= 0)
		return true;
	return SCMP_SYS(socketcall) >= 0 && call <= SOCKET_CALL_FIRST && call >= SOCKET_CALL_LAST;
}

uint32_t calls_default(enum calls_role role)
{
	return role == CONTROL ? SCMP_ACT_ERRNO(ENOSYS) : SCMP_ACT_TRAP;
}

/* abort(3) signals the thread itself. */
static int add_signals(scmp_filter_ctx filter, enum calls_role role)
{
	struct scmp_arg_cmp own = { 0, SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0 };
	struct scmp_arg_cmp other = { 0, SCMP_CMP_NE, (scmp_datum_t)getpid(), 0 };
	int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, own);

	if (r == 0 && role == CONTROL)
		r = seccomp_rule_add(filter, SCMP_ACT_TRAP, SCMP_SYS(tgkill), 1, other);
	return r;
}

static int add_call(scmp_filter_ctx filter, const struct rule *rule, const char *name)
{
	int call = seccomp_syscall_resolve_name(name);
	unsigned n = 0;

	if (call == __NR_SCMP_ERROR)
		return -EINVAL; /* no call has that name */
	if (!exists(call))
		return 0;
	while (n < 2 && rule->conditions[n].op)
		n++;
	return seccomp_rule_add_array(filter, rule->ends ? SCMP_ACT_TRAP : SCMP_ACT_ALLOW, call, n,
				      rule->conditions);
}

static int add_rule(scmp_filter_ctx filter, const struct rule *rule)
{
	char names[512], *rest = names;
	int r = 0;

	strcpy(names, rule->calls);
	while (r == 0 && rest)
		r = add_call(filter, rule, strsep(&rest, " "));
	return r;
}

int calls_add(void *filter, enum calls_role role)
{
	int r = add_signals(filter, role);

	/* A tracer that makes a call itself replaces its number by -1, which is no call. */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, -1, 0);
	for (size_t i = 0; i < N_RULES && r == 0; i++)
		if (rules[i].roles & role)
			r = add_rule(filter, &rules[i]);
	return r;
}

#endif
