/* SPDX-License-Identifier: MIT */
/*
 * log: lines to stderr, records to the journal.
 *
 * A thread never waits for the reader of the log: when stderr or the journal takes no
 * more, the line is dropped and counted, and the next one that gets through says how many
 * were lost.
 *
 * Under systemd (JOURNAL_STREAM names our stderr) each line is a record of the journal
 * with fields.  A record that the journal's socket cannot take goes to stderr as a line
 * that begins with "<N>", see sd-daemon(3).  Elsewhere a line begins with "echod: " and
 * the level's name, and has no fields.
 *
 * Any thread, but for log_init().
 */
#ifndef ECHOD_LOG_H
#define ECHOD_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/event.h"

/*
 * Finds out what stderr is, and opens a socket if it is the journal.  Once, before any
 * thread starts; until then lines go to stderr as text.
 */
void log_init(void);

/* The names of the levels; NULL for numbers that are none. */
extern const char *const log_level_names[LOG_LEVEL_DEBUG + 1];

/* Lines above this level are not written.  Initially LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

/* True if a line of this level would be written. */
bool log_enabled(enum log_level level);

/* A field of a record: its name, with suffix appended unless that is NULL, and its value. */
struct log_field {
	const char *name, *suffix; /* put in upper case */
	const char *text;	   /* NULL: the value is the number */
	uint64_t number;
};

#define FIELD(name, text) ((struct log_field){ name, NULL, text, 0 })
#define FIELD_NUMBER(name, number) FIELD_COUNTER(name, NULL, number)
#define FIELD_COUNTER(name, suffix, number) \
	((struct log_field){ name, suffix, NULL, (uint64_t)(number) })

/* ERRNO and, as text, ECHOD_ERROR; error is positive. */
#define FIELD_ERRNO(error) \
	FIELD_NUMBER("ERRNO", error), FIELD("ECHOD_ERROR", strerrordesc_np(error))

/* The fields of one record, for log_event(). */
#define FIELDS(...) ((const struct log_field[]){ __VA_ARGS__, { 0 } })

/*
 * Logs an event with its fields, which may be NULL: one line without a newline in fmt.
 * Nothing is formatted if its level is not written.  Fields for which the record has no
 * room are cut or left out.  errno is left as it was.
 *
 *     log_event(EVENT_BIND_FAILED, FIELDS(FIELD("ECHOD_ADDRESS", text), FIELD_ERRNO(e)),
 *               "cannot listen on %s: %s", text, strerrordesc_np(e));
 */
void log_event(struct event event, const struct log_field *fields, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * The same without a format, whatever the level: this, log_put_number() and log_flush()
 * are async-signal-safe.
 */
void log_event_text(struct event event, const struct log_field *fields, const char *text);

/* Writes number in decimal and a NUL.  Returns where the NUL is, as stpcpy(3) does. */
char *log_put_number(char *at, uint64_t number);

#define LOG_FLUSH_MS 10	       /* when all is well */
#define LOG_FLUSH_ERROR_MS 500 /* when the reason must be known */

/*
 * Before the process ends: waits until the journal has read all records, at most that
 * long, and until all lines are written (writer.h).  The journal finds the unit of a
 * record by the process id: the last records of a process that is gone would be missing
 * in "journalctl -u".
 */
void log_flush(int timeout_ms);

/*
 * Replaces each byte that is no part of a printable character of UTF-8 with "?": a line
 * stays one line, has no control sequence for a terminal, and is text for the journal.
 */
void log_make_printable(char *text);

/* A line that is no event, and one that costs nothing but a comparison unless it is written. */
#define LOG_LINE(level, ...) log_event((struct event){ level, NULL, NULL }, NULL, __VA_ARGS__)
#define log_error(...) LOG_LINE(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) LOG_LINE(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) LOG_LINE(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                          \
	do {                                                    \
		if (log_enabled(LOG_LEVEL_DEBUG))               \
			LOG_LINE(LOG_LEVEL_DEBUG, __VA_ARGS__); \
	} while (0)

#endif
