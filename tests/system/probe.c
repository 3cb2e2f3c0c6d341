/* SPDX-License-Identifier: MIT */
/*
 * probe: tries what the units' directives forbid, and says what became of it.
 *
 * Each argument names an attempt; for each one there is a line "NAME RESULT",
 * where RESULT is "allowed", an errno or the signal that ended the attempt.
 * Attempts are harmless: where the arguments of a system call cannot be, they
 * are wrong in a way that the kernel notices after it has allowed the call.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CAP_NET_BIND_SERVICE 10
#define CAP_LAST 40

/* What the test puts there for us to find, or not. */
#define PORT 1007
#define KEY 1007 /* of a message queue; the next one is ours */

/* Of a system call: 0 if it did what it was told, or went so far as to fail with harmless. */
static int outcome(long r, int harmless)
{
	return r >= 0 || errno == harmless ? 0 : errno;
}

/* Of a question, where "no" is what a sandbox should answer. */
static int yes(int answer)
{
	return answer ? 0 : EPERM;
}

static int seen(const char *path)
{
	struct stat st;

	return outcome(stat(path, &st), 0);
}

static int opened(const char *path, int flags)
{
	return outcome(open(path, flags, 0600), 0);
}

static int be_root(void)
{
	return yes(getuid() == 0);
}

static int hold_bind(void)
{
	return yes(prctl(PR_CAPBSET_READ, CAP_NET_BIND_SERVICE) == 1);
}

static int hold_others(void)
{
	for (int i = 0; i <= CAP_LAST; i++)
		if (i != CAP_NET_BIND_SERVICE && prctl(PR_CAPBSET_READ, i) == 1)
			return 0;
	return EPERM;
}

static int gain_privileges(void)
{
	return yes(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
}

static int see_users(void)
{
	char map[64] = "";
	int fd = open("/proc/self/uid_map", O_RDONLY);

	if (fd < 0 || read(fd, map, sizeof(map) - 1) < 0)
		return errno;
	return yes(strstr(map, " 4294967295\n") != NULL);
}

static int see_mounts(void)
{
	char name[64] = "";
	const char *wanted = getenv("MNT");

	if (readlink("/proc/self/ns/mnt", name, sizeof(name) - 1) < 0)
		return errno;
	return yes(wanted && strcmp(name, wanted) == 0);
}

static struct sockaddr_in of_machine(void)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(PORT),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

/* Where packets are dropped on their way it is not told so. */
static int connect_out(void)
{
	struct sockaddr_in to = of_machine();
	struct timeval patience = { .tv_sec = 1 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return fd < 0 ? errno : outcome(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
}

static int send_out(void)
{
	struct sockaddr_in to = of_machine();
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	return outcome(sendto(fd, "", 1, 0, (struct sockaddr *)&to, sizeof(to)), 0);
}

static int write_usr(void)
{
	return opened("/usr/written-by-probe", O_WRONLY | O_CREAT);
}

static int write_etc(void)
{
	return opened("/etc/written-by-probe", O_WRONLY | O_CREAT);
}

static int write_var(void)
{
	return opened("/var/written-by-probe", O_WRONLY | O_CREAT);
}

static int see_home(void)
{
	return seen("/root/for-probe");
}

static int see_tmp(void)
{
	return seen("/tmp/for-probe");
}

static int see_device(void)
{
	return seen("/dev/for-probe");
}

static int see_queue(void)
{
	return outcome(msgget(KEY, 0), 0);
}

static int see_left_queue(void)
{
	return outcome(msgget(KEY + 1, 0), 0);
}

static int leave_queue(void)
{
	return outcome(msgget(KEY + 1, IPC_CREAT | 0600), 0);
}

static int tune_kernel(void)
{
	return opened("/proc/sys/net/ipv4/ip_forward", O_WRONLY);
}

static int load_module(void)
{
	int r = outcome(syscall(SYS_finit_module, -1, "", 0), EBADF);

	return r == ENOSYS ? 0 : r; /* a kernel without modules */
}

static int read_kernel_log(void)
{
	return outcome(klogctl(10, NULL, 0), 0); /* the size of its buffer */
}

static int make_cgroup(void)
{
	int r = outcome(mkdir("/sys/fs/cgroup/probe", 0700), 0);

	(void)rmdir("/sys/fs/cgroup/probe");
	return r;
}

static int set_clock(void)
{
	struct timespec never = { .tv_nsec = -1 };

	return outcome(syscall(SYS_clock_settime, CLOCK_REALTIME, &never), EINVAL);
}

static int set_hostname(void)
{
	return outcome(syscall(SYS_sethostname, NULL, -1), EINVAL);
}

static int see_processes(void)
{
	return seen("/proc/1/stat");
}

static int see_memory(void)
{
	return seen("/proc/meminfo");
}

static int open_inet(void)
{
	return outcome(socket(AF_INET6, SOCK_STREAM, 0), 0);
}

static int open_netlink(void)
{
	return outcome(socket(AF_NETLINK, SOCK_RAW, 0), 0);
}

static int make_namespace(void)
{
	return outcome(unshare(CLONE_NEWUTS), 0);
}

static int be_realtime(void)
{
	struct sched_param p = { .sched_priority = 1 };

	return outcome(sched_setscheduler(0, SCHED_FIFO, &p), 0);
}

static int make_suid(void)
{
	return outcome(fchmod(memfd_create("probe", 0), 04700), 0);
}

static int set_personality(void)
{
	return outcome(personality(ADDR_NO_RANDOMIZE), 0);
}

static int write_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : outcome(mprotect(p, 4096, PROT_READ | PROT_EXEC), 0);
}

/* A system call of the 32-bit kind. */
static int call_foreign(void)
{
#ifdef __x86_64__
	long pid;

	__asm__ volatile("int $0x80" : "=a"(pid) : "a"(20) : "memory"); /* getpid */
	return pid > 0 ? 0 : (int)-pid;
#else
	return ENOSYS;
#endif
}

static int trace(void)
{
	return outcome(ptrace(PTRACE_TRACEME, 0, NULL, NULL), 0);
}

static int change_user(void)
{
	return outcome(setresuid((uid_t)-1, (uid_t)-1, (uid_t)-1), 0);
}

static int set_priority(void)
{
	return outcome(setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0)), 0);
}

static int share_files(void)
{
	return yes(umask(0) != 0077);
}

static const struct {
	const char *name;
	int (*try)(void); /* 0 or an errno */
} attempts[] = {
	{ "be_root", be_root },
	{ "hold_bind", hold_bind },
	{ "hold_others", hold_others },
	{ "gain_privileges", gain_privileges },
	{ "see_users", see_users },
	{ "see_mounts", see_mounts },
	{ "connect_out", connect_out },
	{ "send_out", send_out },
	{ "write_usr", write_usr },
	{ "write_etc", write_etc },
	{ "write_var", write_var },
	{ "see_home", see_home },
	{ "see_tmp", see_tmp },
	{ "see_device", see_device },
	{ "see_queue", see_queue },
	{ "see_left_queue", see_left_queue },
	{ "leave_queue", leave_queue },
	{ "tune_kernel", tune_kernel },
	{ "load_module", load_module },
	{ "read_kernel_log", read_kernel_log },
	{ "make_cgroup", make_cgroup },
	{ "set_clock", set_clock },
	{ "set_hostname", set_hostname },
	{ "see_processes", see_processes },
	{ "see_memory", see_memory },
	{ "open_inet", open_inet },
	{ "open_netlink", open_netlink },
	{ "make_namespace", make_namespace },
	{ "be_realtime", be_realtime },
	{ "make_suid", make_suid },
	{ "set_personality", set_personality },
	{ "write_code", write_code },
	{ "call_foreign", call_foreign },
	{ "trace", trace },
	{ "change_user", change_user },
	{ "set_priority", set_priority },
	{ "share_files", share_files },
};

/* In a process of its own: it may be killed, or change itself. */
static void attempt(const char *name, int (*try)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(try());
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		exit(1);
	if (WIFSIGNALED(status))
		printf("%s SIG%s\n", name, sigabbrev_np(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != 0)
		printf("%s %s\n", name, strerrorname_np(WEXITSTATUS(status)));
	else
		printf("%s allowed\n", name);
}

int main(int argc, char *argv[])
{
	setvbuf(stdout, NULL, _IONBF, 0); /* nothing that a child would print again */
	for (int i = 1; i < argc; i++)
		for (size_t k = 0; k < sizeof(attempts) / sizeof(attempts[0]); k++)
			if (strcmp(argv[i], attempts[k].name) == 0)
				attempt(attempts[k].name, attempts[k].try);
	return 0;
}
