/*
 * Two lists, for two kinds of code.
 *
 * Input and output threads, the workers and the acceptor, run our code and a known
 * part of glibc's, and handle what clients send.  Their list is complete: a call
 * that is not on it is a fault or an attack, and ends the process.  They share one
 * list, since what only one of them needs gives nothing to the other: accepting,
 * receiving and adding to an epoll instance are done with descriptors that are there.
 *
 * Control threads, main and rescue, also run libsystemd, libconfuse and glibc, whose
 * calls are others in every version, and follow /etc and the environment, which are
 * the administrator's.  No list of them can be complete, so a call that no rule
 * names is not made and fails with ENOSYS, as in an older kernel: glibc and
 * libsystemd then take the older way (openat2, clone3, statx, faccessat2) or report
 * an error.  EPERM would be an answer of the call, after which they take no other.
 *
 * What ends the process there, too (END), is what an attacker needs and no library
 * does in these threads.  What one might do fails instead, and is as little done:
 *
 *   clone, fork   libsystemd starts a program for a bus address "unixexec:"
 *   mmap          glibc loads a library for names of hosts (nsswitch.conf) by
 *                 mapping a file executable; without a file it is an END
 *   openat2       has its flags behind a pointer, where filters cannot look
 *
 * But threads share their memory, so who has taken over one can in the end have
 * others act for him.  What holds against that is what none of them may.
 *
 * Calls that every echo makes are allowed whatever their arguments: for these the
 * kernel has its answer in a bitmap and does not run the filter (Linux 5.11).
 * i386 has one call for all of a socket's, socketcall(2), with the arguments behind a
 * pointer, so a rule can only say which of them.  From one without a condition, or
 * with one for the first argument only, libseccomp makes that by itself.
 *
 * No two rules for one call may meet: libseccomp would not say which of them holds.
 *
 * What is not obvious is what glibc calls in input and output threads, and when:
 *
 *   memory   An arena for each thread would open files now and then: to count CPUs,
 *            and to ask about overcommitment before it shrinks.  With one for all
 *            there are brk(2) and mmap(2) only, and it is seldom asked for anything.
 *   the end  A thread that returns masks signals and gives back its stack.  Broken
 *            memory or a wrong assertion says so by writev(2) or write(2), and
 *            aborts: tgkill(2), and rt_sigaction(2) since glibc 2.41.
 *   stops    Who was stopped in a wait with a timeout goes on with
 *            restart_syscall(2).
 *   names    The interface in a link-local address is looked up by ioctl(2), for
 *            which glibc opens a socket of AF_UNIX.
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
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONTROL CALLS_OF_CONTROL
#define IO CALLS_OF_IO
#define BOTH (CONTROL | IO)

struct rule {
	int call; /* negative if this architecture has none of that name */
	unsigned roles;
	bool ends; /* the process, instead of being allowed */
	unsigned n_conditions;
	struct scmp_arg_cmp conditions[2];
};

/* clang-format off */
#define CONDITIONS(...) .conditions = { __VA_ARGS__ }, \
	.n_conditions = sizeof((struct scmp_arg_cmp[]){ __VA_ARGS__ }) / sizeof(struct scmp_arg_cmp)
#define ALLOW(name, to) { .call = SCMP_SYS(name), .roles = (to) }
#define ALLOW_IF(name, to, ...) { .call = SCMP_SYS(name), .roles = (to), CONDITIONS(__VA_ARGS__) }
#define END(name) { .call = SCMP_SYS(name), .roles = CONTROL, .ends = true }
#define END_IF(name, ...) { \
	.call = SCMP_SYS(name), .roles = CONTROL, .ends = true, CONDITIONS(__VA_ARGS__) }

/* Conditions for the arguments, which are counted from 0. */
#define IS(argument, value) { argument, SCMP_CMP_EQ, (scmp_datum_t)(value), 0 }
#define HAS(argument, bits) \
	{ argument, SCMP_CMP_MASKED_EQ, (scmp_datum_t)(bits), (scmp_datum_t)(bits) }
#define HAS_NOT(argument, bits) { argument, SCMP_CMP_MASKED_EQ, (scmp_datum_t)(bits), 0 }
#define ACCESS(argument, mode) { argument, SCMP_CMP_MASKED_EQ, O_ACCMODE, mode }

/* A file is opened for reading, which changes nothing; any other way is an END. */
#define OPEN(name, flags) \
	ALLOW_IF(name, CONTROL, HAS_NOT(flags, O_ACCMODE | O_CREAT | O_TRUNC)), \
	END_IF(name, ACCESS(flags, O_WRONLY)), END_IF(name, ACCESS(flags, O_RDWR)), \
	END_IF(name, ACCESS(flags, O_ACCMODE)), \
	END_IF(name, HAS(flags, O_CREAT)), END_IF(name, HAS(flags, O_TRUNC))

/* Memory is mapped; executable only with a file, for which the answer is an error. */
#define MAP(name) \
	ALLOW_IF(name, BOTH, HAS_NOT(2, PROT_EXEC)), \
	END_IF(name, HAS(2, PROT_EXEC), HAS(3, MAP_ANONYMOUS))

/* The same call with 32 and with 64 bits of time. */
#define ALLOW_TIMED(name, suffix, to) ALLOW(name, to), ALLOW(name##suffix, to)

#define TERMINAL_FLAGS 0x802c542a /* TCGETS2, isatty(3) since glibc 2.42 */

static const struct rule rules[] = {
	/* the echo */
	ALLOW(epoll_wait, IO),
	ALLOW(epoll_pwait, IO), /* the same where there is no epoll_wait(2) */
	ALLOW(epoll_ctl, IO),
	ALLOW(accept4, IO),
	ALLOW(recvfrom, IO), ALLOW(recv, IO),
	ALLOW(splice, IO),
	ALLOW(shutdown, IO),
	ALLOW(sendto, BOTH), ALLOW(send, BOTH), /* also the log */
	ALLOW(read, BOTH), /* eventfd, signalfd, pipe */
	ALLOW(write, BOTH),
	ALLOW(close, BOTH),
	ALLOW_IF(setsockopt, IO, IS(1, SOL_SOCKET), IS(2, SO_LINGER)),
	ALLOW_IF(ioctl, BOTH, IS(1, SIOCOUTQ)),
	ALLOW_IF(ioctl, BOTH, IS(1, SIOCINQ)),
	ALLOW_IF(ioctl, BOTH, IS(1, SIOCGIFNAME)),
	ALLOW_IF(socket, IO, IS(0, AF_UNIX), IS(1, SOCK_DGRAM | SOCK_CLOEXEC)),
	ALLOW_IF(socketcall, IO, IS(0, SYS_SETSOCKOPT)), /* the same two on i386 */
	ALLOW_IF(socketcall, IO, IS(0, SYS_SOCKET)),
	/* the log, and waiting for it */
	ALLOW(sendmsg, BOTH),
	ALLOW(poll, BOTH),
	ALLOW_TIMED(ppoll, _time64, BOTH),
	ALLOW_TIMED(clock_nanosleep, _time64, BOTH),
	/* glibc */
	ALLOW_TIMED(futex, _time64, BOTH),
	ALLOW_TIMED(clock_gettime, 64, BOTH), /* where the vDSO has no clock */
#if defined(__x86_64__) && defined(__LP64__)
	MAP(mmap),
#else
	MAP(mmap2), /* that mmap(2) may have its arguments behind a pointer */
#endif
	ALLOW(munmap, BOTH),
	ALLOW(madvise, BOTH),
	ALLOW(brk, BOTH),
	ALLOW(restart_syscall, BOTH),
	ALLOW(rt_sigprocmask, BOTH),
	ALLOW_IF(rt_sigaction, BOTH, IS(0, SIGABRT)),
	END_IF(rt_sigaction, IS(0, SIGSYS)), /* the record; the handler ends with this, too */
	ALLOW(getpid, BOTH),
	ALLOW(gettid, BOTH),
	ALLOW_IF(writev, IO, IS(0, STDERR_FILENO)),
	ALLOW(exit, BOTH),

	/* control: what libraries do with descriptors, sockets, memory and time */
	ALLOW(exit_group, CONTROL),
	ALLOW(readv, CONTROL), ALLOW(writev, CONTROL), ALLOW(pread64, CONTROL),
	ALLOW(lseek, CONTROL), ALLOW(_llseek, CONTROL),
	ALLOW(memfd_create, CONTROL), ALLOW(ftruncate, CONTROL), ALLOW(ftruncate64, CONTROL),
	ALLOW(pipe2, CONTROL), ALLOW(eventfd2, CONTROL),
	ALLOW(dup, CONTROL), ALLOW(dup3, CONTROL),
#define FCNTL(name) \
	ALLOW_IF(name, CONTROL, IS(1, F_DUPFD)), ALLOW_IF(name, CONTROL, IS(1, F_DUPFD_CLOEXEC)), \
	ALLOW_IF(name, CONTROL, IS(1, F_GETFD)), ALLOW_IF(name, CONTROL, IS(1, F_SETFD)), \
	ALLOW_IF(name, CONTROL, IS(1, F_GETFL)), ALLOW_IF(name, CONTROL, IS(1, F_SETFL)), \
	ALLOW_IF(name, CONTROL, IS(1, F_ADD_SEALS)), ALLOW_IF(name, CONTROL, IS(1, F_GET_SEALS))
	FCNTL(fcntl), FCNTL(fcntl64),
	ALLOW_IF(socket, CONTROL, IS(0, AF_UNIX)),
	ALLOW_IF(socket, CONTROL, IS(0, AF_INET)),
	ALLOW_IF(socket, CONTROL, IS(0, AF_INET6)),
	ALLOW_IF(socketpair, CONTROL, IS(0, AF_UNIX)),
	ALLOW(bind, CONTROL), ALLOW(listen, CONTROL), ALLOW(connect, CONTROL),
	ALLOW(getsockname, CONTROL), ALLOW(getpeername, CONTROL),
	ALLOW(getsockopt, CONTROL), ALLOW(setsockopt, CONTROL),
	ALLOW(recvmsg, CONTROL), ALLOW(recvfrom, CONTROL), ALLOW(recv, CONTROL),
	ALLOW_IF(ioctl, CONTROL, IS(1, TCGETS)), /* libconfuse's scanner asks for a terminal */
	ALLOW_IF(ioctl, CONTROL, IS(1, TERMINAL_FLAGS)),
	ALLOW_IF(ioctl, CONTROL, IS(1, SIOCGIFINDEX)),
	ALLOW_TIMED(rt_sigtimedwait, _time64, CONTROL),
	ALLOW(mremap, CONTROL),
	ALLOW_IF(mprotect, CONTROL, HAS_NOT(2, PROT_EXEC)),
	ALLOW(getrandom, CONTROL),
	ALLOW(sched_yield, CONTROL), ALLOW(sched_getaffinity, CONTROL),
	/* control: what only asks, about files that it may read anyway, and about itself */
	ALLOW(fstat, CONTROL), ALLOW(fstat64, CONTROL),
	ALLOW(newfstatat, CONTROL), ALLOW(fstatat64, CONTROL), ALLOW(statx, CONTROL),
	ALLOW(stat, CONTROL), ALLOW(stat64, CONTROL), ALLOW(lstat, CONTROL), ALLOW(lstat64, CONTROL),
	ALLOW(fstatfs, CONTROL), ALLOW(fstatfs64, CONTROL),
	ALLOW(statfs, CONTROL), ALLOW(statfs64, CONTROL),
	ALLOW(access, CONTROL), ALLOW(faccessat, CONTROL), ALLOW(faccessat2, CONTROL),
	ALLOW(readlink, CONTROL), ALLOW(readlinkat, CONTROL), ALLOW(getdents64, CONTROL),
	ALLOW(getcwd, CONTROL), ALLOW(uname, CONTROL), ALLOW(sysinfo, CONTROL),
	ALLOW(gettimeofday, CONTROL), ALLOW(time, CONTROL), ALLOW_TIMED(clock_getres, _time64, CONTROL),
	ALLOW(getppid, CONTROL),
	ALLOW(getuid, CONTROL), ALLOW(geteuid, CONTROL), ALLOW(getgid, CONTROL), ALLOW(getegid, CONTROL),
	ALLOW(getuid32, CONTROL), ALLOW(geteuid32, CONTROL),
	ALLOW(getgid32, CONTROL), ALLOW(getegid32, CONTROL),
	ALLOW_IF(prlimit64, CONTROL, IS(0, 0), IS(2, 0)), /* getrlimit(2) */
	ALLOW(getrlimit, CONTROL), ALLOW(ugetrlimit, CONTROL),

	/* control: files, but to read them */
	OPEN(openat, 2), OPEN(open, 1), END(creat), END(truncate), END(truncate64),
	/* programs, also by a terminal's input */
	END(execve), END(execveat), END_IF(ioctl, IS(1, TIOCSTI)),
	/* memory that can be executed */
	END_IF(mprotect, HAS(2, PROT_EXEC)), END_IF(pkey_mprotect, HAS(2, PROT_EXEC)),
	END(remap_file_pages), END(personality),
	/* other processes, and this one's threads from outside of the filter */
	END(ptrace), END(process_vm_readv), END(process_vm_writev), END(process_madvise),
	END(pidfd_getfd), END(perf_event_open), END(userfaultfd), END(io_uring_setup), END(bpf),
	END(seccomp), END(modify_ldt),
	/* signals, also by the readiness of a descriptor; tgkill(2) see calls_add() */
	END(kill), END(tkill), END(rt_sigqueueinfo), END(rt_tgsigqueueinfo),
	END(pidfd_send_signal), END_IF(fcntl, IS(1, F_SETOWN)), END_IF(fcntl, IS(1, F_SETOWN_EX)),
	END_IF(fcntl64, IS(1, F_SETOWN)), END_IF(fcntl64, IS(1, F_SETOWN_EX)),
	/* the system */
	END(init_module), END(finit_module), END(delete_module), END(kexec_load),
	END(kexec_file_load), END(reboot), END(iopl), END(ioperm), END(swapon), END(swapoff),
	END(mount), END(umount), END(umount2), END(move_mount), END(open_tree), END(mount_setattr),
	END(fsopen), END(fspick), END(pivot_root), END(chroot), END(unshare), END(setns),
	/* identity */
	END(setuid), END(setgid), END(setreuid), END(setregid), END(setresuid), END(setresgid),
	END(setfsuid), END(setfsgid), END(setgroups), END(setuid32), END(setgid32), END(setreuid32),
	END(setregid32), END(setresuid32), END(setresgid32), END(setfsuid32), END(setfsgid32),
	END(setgroups32), END(capset), END(add_key), END(request_key), END(keyctl),
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

int calls_add(void *filter, enum calls_role role)
{
	int r = add_signals(filter, role);

	/* Into this a tracer turns a call that it answers itself; there is none of that number. */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, -1, 0);
	for (size_t i = 0; i < N_RULES && r == 0; i++) {
		const struct rule *rule = &rules[i];

		if (exists(rule->call) && (rule->roles & role))
			r = seccomp_rule_add_array(
				filter, rule->ends ? SCMP_ACT_TRAP : SCMP_ACT_ALLOW, rule->call,
				rule->n_conditions, rule->conditions);
	}
	return r;
}

#endif
