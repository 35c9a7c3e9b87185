/*
 * log: lines for a person on stderr, each "TIME INSTANCE: text" where a job runs unattended, or
 * the bare text where a person typed a command.
 */
#ifndef LOCKSTEP_BASE_LOG_H
#define LOCKSTEP_BASE_LOG_H

#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/*
 * level: lines above it are dropped. prefix: put before each line, copied, cut at 200 bytes; NULL for
 * none. stamp: whether a UTC time in RFC 3339 form stands before the prefix. Call it before threads start.
 */
void log_setup(enum log_level level, const char *prefix, int stamp);

/* Write one line, a newline added, in one write() so that lines of several processes do not mix. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Copy text into out (out_size bytes, always NUL-terminated) with everything taken out that could steer
 * a terminal: escape sequences, control characters other than newline and tab, bytes that are not UTF-8.
 * Returns the length written. What the far side says goes through here before a person sees it.
 */
size_t log_sanitize(const char *text, size_t text_len, char *out, size_t out_size);

#endif
