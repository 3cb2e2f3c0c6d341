/*
 * confine: which system calls each kind of thread may make.
 *
 * Each thread takes a seccomp filter upon itself when it has all that it needs, and
 * before it touches a byte of a client.  A system call that is not on its list is
 * not made; it ends the process by SIGSYS, after a record that names it.
 *
 * A build without libseccomp, with a sanitizer or for coverage confines nobody.
 */
#ifndef ECHOD_CONFINE_H
#define ECHOD_CONFINE_H

#include <stdbool.h>

/* Kinds of threads; bits, for what is on several lists. */
enum confine_role {
	CONFINE_MAIN = 1,
	CONFINE_RESCUE = 2,
	CONFINE_ACCEPTOR = 4,
	CONFINE_WORKER = 8,
};

/*
 * main, before it starts a thread: whether threads shall be confined.  0, or -errno
 * if they shall, and the kernel or a sandbox does not let us.
 */
int confine_init(bool wanted);

/*
 * Any thread, for itself, once: only the system calls of the list from here on.
 * Ends the process, with a record, if that cannot be.  name must outlive the thread.
 */
void confine_enter(enum confine_role role, const char *name);

#endif
