/* SPDX-License-Identifier: MIT */
/*
 * textfile: a small file, read as a whole and checked that it is text.
 *
 * It does not wait: neither for the other end of a FIFO nor for a device.
 * Any thread.
 */
#ifndef ECHOD_TEXTFILE_H
#define ECHOD_TEXTFILE_H

#include "conf/problems.h"

#define TEXTFILE_MAX (64 * 1024) /* bytes */

/*
 * Reads the file into text and terminates it with '\0', without a UTF-8 byte
 * order mark.  /dev/null is an empty file.
 *
 * 0, or -errno with a problem that says why; but -ENOENT without one, and only if
 * there is nothing at that path, not even a symbolic link.
 */
int textfile_read(const char *path, char text[static TEXTFILE_MAX + 1], struct problems *problems);

#endif
