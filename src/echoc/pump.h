/* SPDX-License-Identifier: MIT */
/*
 * pump: standard input to the wire, the wire to standard output, byte for byte.
 */
#ifndef ECHOC_PUMP_H
#define ECHOC_PUMP_H

struct wire;

/*
 * Pumps until the wire has ended.  After the end of input nothing may come for
 * timeout_ms before it ends as WIRE_SILENT.  Returns 0; or an exit status,
 * after it has said on stderr what is wrong with standard input or output.
 */
int pump_run(struct wire *wire, int timeout_ms);

#endif
