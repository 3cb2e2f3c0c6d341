/*
 * textfile: a small file, read as a whole and checked that it is text.
 *
 * It does not wait: neither for the other end of a FIFO nor for a device.
 * Any thread.
 */
#ifndef ECHOD_TEXTFILE_H
#define ECHOD_TEXTFILE_H

#include <stddef.h>
#include <sys/types.h>

#define TEXTFILE_MAX (64 * 1024) /* bytes */
#define TEXTFILE_WHY 256

/*
 * Reads the file into text and terminates it with '\0', without a UTF-8 byte
 * order mark.  /dev/null is an empty file.
 *
 * Returns the size; -ENOENT only if there is nothing at that path, not even a
 * symbolic link; or another negative errno.  Of each error why says what it is.
 */
ssize_t textfile_read(const char *path, char text[static TEXTFILE_MAX + 1],
		      char why[static TEXTFILE_WHY]);

#endif
