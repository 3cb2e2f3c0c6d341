#include "conf/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int fail(int error, char *why, const char *reason)
{
	snprintf(why, TEXTFILE_WHY, "%s", reason);
	return error;
}

/* open(2) has failed. */
static int fail_open(int error, const char *path, char *why)
{
	char target[TEXTFILE_WHY / 2];
	ssize_t n;

	if (error == EACCES) {
		snprintf(why, TEXTFILE_WHY, "%s for user %u", strerror(error), geteuid());
		return -error;
	}
	if (error != ENOENT)
		return fail(-error, why, strerror(error));
	n = readlinkat(AT_FDCWD, path, target, sizeof(target));
	if (n < 0 && errno == ENOENT)
		return fail(-ENOENT, why, strerror(ENOENT));
	if (n < 0)
		return fail(-EINVAL, why, strerror(error));
	snprintf(why, TEXTFILE_WHY, "is a symbolic link to %.*s, which does not exist", (int)n,
		 target);
	return -ENOLINK;
}

static bool is_null_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/* Reads the file into text, which has room for one byte more than is allowed. */
static ssize_t read_all(int fd, char *text, char *why)
{
	struct stat st;
	size_t size = 0;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return fail(-errno, why, strerror(errno));
	if (!S_ISREG(st.st_mode) && !is_null_device(&st))
		return fail(-EINVAL, why, "is not a regular file");
	do {
		n = read(fd, text + size, TEXTFILE_MAX + 1 - size);
		if (n < 0)
			return fail(-errno, why, strerror(errno));
		size += (size_t)n;
	} while (n > 0 && size <= TEXTFILE_MAX);
	if (size > TEXTFILE_MAX)
		return fail(-EINVAL, why, "is larger than 64 KiB");
	return (ssize_t)size;
}

static bool begins_with(const char *text, size_t size, const char *mark)
{
	return size >= strlen(mark) && memcmp(text, mark, strlen(mark)) == 0;
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

/* Checks what was read, and takes the mark of UTF-8 away, which some editors write. */
static ssize_t check(char *text, size_t size, char *why)
{
	static const char utf8[] = "\xef\xbb\xbf";

	if (begins_with(text, size, "\xff\xfe") || begins_with(text, size, "\xfe\xff"))
		return fail(-EINVAL, why, "is encoded in UTF-16, save it as UTF-8");
	if (memchr(text, '\0', size))
		return fail(-EINVAL, why, "contains a NUL byte, so it is not a text");
	if (begins_with(text, size, utf8)) {
		size -= strlen(utf8);
		memmove(text, text + strlen(utf8), size);
	}
	text[size] = '\0';
	if (has_lone_return(text))
		return fail(-EINVAL, why,
			    "has a carriage return within a line, end lines with a line feed");
	return (ssize_t)size;
}

ssize_t textfile_read(const char *path, char text[static TEXTFILE_MAX + 1],
		      char why[static TEXTFILE_WHY])
{
	/* O_NONBLOCK: the open of a FIFO must not wait for its other end. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t size;

	if (fd < 0)
		return fail_open(errno, path, why);
	size = read_all(fd, text, why);
	close(fd);
	return size < 0 ? size : check(text, (size_t)size, why);
}
