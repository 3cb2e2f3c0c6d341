/* SPDX-License-Identifier: MIT */
#include "conf/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int fail(int error, struct problems *problems)
{
	problems_add(problems, "%s", strerror(error));
	return -error;
}

/* open(2) has failed. */
static int fail_open(int error, const char *path, struct problems *problems)
{
	char target[128];
	ssize_t n;

	if (error == EACCES) {
		problems_add(problems, "%s for user %u", strerror(error), geteuid());
		return -error;
	}
	if (error != ENOENT)
		return fail(error, problems);
	n = readlink(path, target, sizeof(target));
	if (n < 0)
		return errno == ENOENT ? -ENOENT : fail(error, problems);
	problems_add(problems, "is a symbolic link to %.*s, which does not exist", (int)n, target);
	return -ENOLINK;
}

/* Reads the file into text, which has room for one byte more than is allowed. */
static ssize_t read_all(int fd, char *text, struct problems *problems)
{
	struct stat st;
	size_t size = 0;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return fail(errno, problems);
	if (!S_ISREG(st.st_mode) && !(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)))
		return problems_add(problems, "is not a regular file");
	do {
		n = read(fd, text + size, TEXTFILE_MAX + 1 - size);
		if (n < 0)
			return fail(errno, problems);
		size += (size_t)n;
	} while (n > 0 && size <= TEXTFILE_MAX);
	if (size > TEXTFILE_MAX)
		return problems_add(problems, "is larger than 64 KiB");
	return (ssize_t)size;
}

/* A CR that ends a line alone would make one comment of all lines. */
static bool has_lone_return(const char *text)
{
	while ((text = strchr(text, '\r'))) {
		text += strspn(text, "\r");
		if (*text && *text != '\n')
			return true;
	}
	return false;
}

/* Checks what was read, and removes the mark of UTF-8, which some editors write. */
static int check(char *text, size_t size, struct problems *problems)
{
	text[size] = '\0';
	if (strncmp(text, "\xff\xfe", 2) == 0 || strncmp(text, "\xfe\xff", 2) == 0)
		return problems_add(problems, "is encoded in UTF-16, save it as UTF-8");
	if (strlen(text) < size)
		return problems_add(problems, "contains a NUL byte, so it is not a text file");
	if (has_lone_return(text))
		return problems_add(problems, "has a carriage return within a line, "
					      "end lines with a line feed");
	if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
		memmove(text, text + 3, size - 3 + 1);
	return 0;
}

int textfile_read(const char *path, char text[static TEXTFILE_MAX + 1], struct problems *problems)
{
	/* O_NONBLOCK: the open of a FIFO must not wait for its other end. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t size;

	if (fd < 0)
		return fail_open(errno, path, problems);
	size = read_all(fd, text, problems);
	close(fd);
	return size < 0 ? (int)size : check(text, (size_t)size, problems);
}
