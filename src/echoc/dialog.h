/* SPDX-License-Identifier: MIT */
/*
 * dialog: a person at a terminal, the wire at the other end.
 */
#ifndef ECHOC_DIALOG_H
#define ECHOC_DIALOG_H

struct wire;

/*
 * Prompts for lines, sends each, and shows what comes, until the wire has
 * ended.  After the end of input nothing may come for timeout_ms before it
 * ends as WIRE_SILENT.  Leaves SIGINT, SIGTERM and their like blocked.
 * Returns 0; or an exit status, after it has said on stderr why there is none.
 */
int dialog_run(struct wire *wire, int timeout_ms);

#endif
