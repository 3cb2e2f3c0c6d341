/* SPDX-License-Identifier: MIT */
/*
 * Counts are written at exit(3).  A daemon that a watchdog ends by SIGABRT, or
 * that leaves a stuck thread behind, does not come there; the linker puts
 * these before abort(3) and _exit(2) (--wrap).
 */
#include <gcov.h>

_Noreturn void __real_abort(void);
_Noreturn void __wrap_abort(void);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);

_Noreturn void __wrap_abort(void)
{
	__gcov_dump();
	__real_abort();
}

_Noreturn void __wrap__exit(int status)
{
	__gcov_dump();
	__real__exit(status);
}
