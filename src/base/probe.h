/* SPDX-License-Identifier: MIT */
/*
 * probe: static probes (USDT) to trace a running daemon, see PROBES in echod.journal(7).
 *
 * Each is one nop in the code, and a note in the binary that says where it is and where
 * its arguments are then.  A tracer has the kernel put a breakpoint in the nop's place.
 * There is no semaphore to show whether one is attached, as no probe computes anything:
 * its arguments exist anyway.  Without <sys/sdt.h> a probe is nothing, and its arguments
 * are not evaluated.
 *
 * A worker is its number, a reason an enum closing, an error an errno or 0.  Bytes are at
 * least 1, except for those of close.  A probe fires in the thread that owns the
 * connection.
 */
#ifndef ECHOD_PROBE_H
#define ECHOD_PROBE_H

#ifdef HAVE_PROBES
#include <sys/sdt.h>
#else
#define DTRACE_PROBE2(provider, name, a, b) ((void)0)
#define DTRACE_PROBE3(provider, name, a, b, c) ((void)0)
#define DTRACE_PROBE4(provider, name, a, b, c, d) ((void)0)
#endif

/* The acceptor is about to dispatch an admitted socket to that worker. */
#define PROBE_ACCEPT(descriptor, worker) DTRACE_PROBE2(echod, accept, descriptor, worker)

/* The worker has adopted it; in main, if it was taken over at a restart. */
#define PROBE_ADOPT(descriptor, worker) DTRACE_PROBE2(echod, adopt, descriptor, worker)

/* recv(2) or splice(2) gave bytes; peeked: they are still in the kernel, and may come once more. */
#define PROBE_RECV(descriptor, bytes, peeked) DTRACE_PROBE3(echod, recv, descriptor, bytes, peeked)

/* send(2) or splice(2) took bytes. */
#define PROBE_SEND(descriptor, bytes) DTRACE_PROBE2(echod, send, descriptor, bytes)

/* The turn ends with so many bytes unsent, as the client does not read; peeked: in the kernel. */
#define PROBE_PENDING(descriptor, bytes, peeked) \
	DTRACE_PROBE3(echod, pending, descriptor, bytes, peeked)

/* About to be closed; bytes were echoed in its whole life. */
#define PROBE_CLOSE(descriptor, reason, error, bytes) \
	DTRACE_PROBE4(echod, close, descriptor, reason, error, bytes)

#endif
