/*
 * log: lines to stderr, records to the journal.
 *
 * A line never waits for its reader: when stderr, whatever it is, takes no more, or
 * the journal hangs, the line is dropped and counted, and the next one that gets
 * through says how many were lost.  An echo must not stop because nobody reads the
 * log.
 *
 * Under systemd (JOURNAL_STREAM names our stderr) each line is a record of the
 * journal, with its fields.  A record that the journal's socket cannot take
 * goes to stderr as a line, begun with "<N>", see sd-daemon(3).  Elsewhere a
 * line begins with "echod: " and the level's name, and fields are not shown.
 *
 * All functions but log_init() may be called by any thread.
 */
#ifndef ECHOD_LOG_H
#define ECHOD_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/event.h"

/* The values are those of syslog(3), which the journal understands. */
enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

/*
 * Finds out what stderr is, and opens a socket if it is the journal.  Call it
 * once, before any thread is started; without it lines go to stderr all the
 * same, as text.
 */
void log_init(void);

/* Lines above this level are not written.  Initially LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

/* True if a line of this level would be written. */
bool log_enabled(enum log_level level);

/* A line of no kind; without a newline in fmt.  errno is left as it was. */
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Something of a kind in event.h, as it is put together; on the caller's stack. */
struct log_record {
	int level;
	size_t size;
	char fields[4096]; /* what the journal is told besides the text */
};

/*
 * log_begin(), any number of fields, log_end() with the text: one line without
 * a newline in fmt.  name is put in upper case; a name twice is two fields.
 * What has no room in the record is cut or left out.  errno is left as it was.
 */
void log_begin(struct log_record *record, enum event event);
void log_field(struct log_record *record, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void log_end(struct log_record *record, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ERRNO and, as text, ECHOD_ERROR; error is positive. */
void log_errno(struct log_record *record, int error);

/*
 * The same without formats, whatever the level: these, log_begin() and log_flush()
 * may be called by a signal handler.
 */
void log_text(struct log_record *record, const char *name, const char *value);
void log_end_text(struct log_record *record, const char *text);

/* A record of a kind without fields. */
#define log_event(event, ...)                       \
	do {                                        \
		struct log_record log_record_;      \
		log_begin(&log_record_, event);     \
		log_end(&log_record_, __VA_ARGS__); \
	} while (0)

#define LOG_FLUSH_MS 10	       /* when all is well */
#define LOG_FLUSH_ERROR_MS 500 /* when it is important that the reason is known */

/*
 * Before the process ends: waits until the journal has read all records, but
 * not much longer than that, and until all lines are written (writer.h).  The journal finds whose
 * they are by the process id, and those of a process that is gone would be missing in "journalctl
 * -u".
 */
void log_flush(int timeout_ms);

/*
 * Replaces each byte that is no part of a printable character of UTF-8 with "?":
 * a line stays one line, steers no terminal, and is text for the journal.
 */
void log_make_printable(char *text);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                           \
	do {                                                     \
		if (log_enabled(LOG_LEVEL_DEBUG))                \
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__); \
	} while (0)

#endif
