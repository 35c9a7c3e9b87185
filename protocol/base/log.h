/*
 * log: lines on stderr: the bare text where a person typed a command, "TIME INSTANCE: text" where a job
 * runs unattended, and for a daemon "TIME LEVEL PROGRAM: text" or one JSON object a line.
 *
 * A JSON line has time, level, program and message, and of struct log_fields what its call site knew:
 * {"time":"2026-11-21T20:04:06.123Z","level":"info","program":"lockstep-origin","event":"push",
 *  "database":"org.db","client":"worker","instance":"ord-1","version":17,"message":"…"}
 */
#ifndef LOCKSTEP_BASE_LOG_H
#define LOCKSTEP_BASE_LOG_H

#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

enum log_format {
    LOG_PLAIN, /* as log_setup says, the text as it is */
    LOG_TEXT,  /* time and level before it; what could steer a terminal or look like a second line, escaped */
    LOG_JSON
};

/* What a line is about, for LOG_JSON. NULL, "" and 0 are left out. Borrowed for the call. */
struct log_fields {
    const char *event;    /* a word that does not change with the text: "open", "pull", "push", "end" */
    const char *database; /* by the name that replicas use */
    const char *client;   /* the name that was proven */
    const char *instance; /* what the replica calls itself */
    const char *peer;     /* its address */
    const char *outcome;  /* error_name; "NONE" where all went well */
    uint64_t version;
    int is_end;           /* the next three are told, 0 too */
    uint64_t sent;        /* bytes */
    uint64_t received;
    uint64_t milliseconds;
};

/*
 * level: lines above it are dropped. prefix: put before each line, copied, cut at 200 bytes; NULL for
 * none. stamp: whether a UTC time in RFC 3339 form stands before the prefix. Call it before threads start.
 */
void log_setup(enum log_level level, const char *prefix, int stamp);

/* "text" or "json". -1 for anything else. */
int log_read_format(const char *name, enum log_format *format);

/* From now on. log_setup makes it LOG_PLAIN. */
void log_set_format(enum log_format format);

/* Write one line, a newline added, in one write() so that lines of several processes do not mix. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same; fields may be NULL. */
void log_event(enum log_level level, const struct log_fields *fields, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Copy text into out (out_size bytes, always NUL-terminated) with everything taken out that could steer
 * a terminal: escape sequences, control characters other than newline and tab, bytes that are not UTF-8.
 * Returns the length written. What the far side says goes through here before a person sees it.
 */
size_t log_sanitize(const char *text, size_t text_len, char *out, size_t out_size);

#endif
