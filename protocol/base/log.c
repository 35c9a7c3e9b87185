#include "protocol/base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base/clock.h"
#include "protocol/base/escape.h"
#include "protocol/base/status_line.h"
#include "protocol/base/utf8.h"

/* One line, JSON or not. Up to PIPE_BUF bytes go through a pipe in one piece. */
#define LINE_MAX_BYTES 4096
/* One member of a JSON line other than the message, escaped. */
#define MEMBER_MAX 400
/* What a call says, as text. */
#define MESSAGE_MAX 1800

static struct {
    enum log_level level;
    enum log_format format;
    char prefix[201];
    int stamp;
} config = {.level = LOG_INFO};

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_setup(enum log_level level, const char *prefix, int stamp)
{
    config.level = level;
    config.format = LOG_PLAIN;
    config.stamp = stamp;
    snprintf(config.prefix, sizeof(config.prefix), "%s", prefix != NULL ? prefix : "");
}

int log_read_format(const char *name, enum log_format *format)
{
    if (strcmp(name, "text") != 0 && strcmp(name, "json") != 0)
        return -1;
    *format = name[0] == 't' ? LOG_TEXT : LOG_JSON;
    return 0;
}

void log_set_format(enum log_format format)
{
    config.format = format;
}

/* ---- a line being made ---- */

struct line {
    char text[LINE_MAX_BYTES];
    size_t used;
};

/* Append, cut where there is no room; one byte is kept for a newline. */
static __attribute__((format(printf, 2, 3))) void add(struct line *line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(line->text + line->used, sizeof(line->text) - 1 - line->used, format, args);
    va_end(args);
    line->used += strlen(line->text + line->used);
}

/* Append text, escaped, but leave `spare` bytes free behind it. */
static void add_escaped(struct line *line, enum escape_style style, const char *text, size_t spare)
{
    size_t room = sizeof(line->text) - 1 - line->used;

    if (room > spare)
        line->used +=
            escape_text(style, text, strlen(text), line->text + line->used, room - spare);
}

/* "2026-11-21T20:04:06.123Z" */
static void add_time(struct line *line)
{
    int64_t now = clock_wall_ms();
    char seconds[32];

    clock_format_utc(now / 1000, seconds, sizeof(seconds));
    if (seconds[0] != '\0')
        add(line, "%.*s.%03dZ", (int)strlen(seconds) - 1, seconds, (int)(now % 1000));
}

/* ---- JSON ---- */

static void add_text_member(struct line *line, const char *name, const char *value)
{
    char escaped[MEMBER_MAX];

    if (value == NULL || value[0] == '\0')
        return;
    escape_text(ESCAPE_JSON, value, strlen(value), escaped, sizeof(escaped));
    add(line, ",\"%s\":\"%s\"", name, escaped);
}

static void add_number_member(struct line *line, const char *name, uint64_t value)
{
    add(line, ",\"%s\":%llu", name, (unsigned long long)value);
}

/* The message comes last: it is what is cut where a line would grow too long. */
static void make_json(struct line *line, enum log_level level, const struct log_fields *fields,
                      const char *message)
{
    add(line, "{\"time\":\"");
    add_time(line);
    add(line, "\",\"level\":\"%s\"", level_names[level]);
    add_text_member(line, "program", config.prefix);
    if (fields != NULL) {
        add_text_member(line, "event", fields->event);
        add_text_member(line, "database", fields->database);
        add_text_member(line, "client", fields->client);
        add_text_member(line, "instance", fields->instance);
        add_text_member(line, "peer", fields->peer);
        add_text_member(line, "outcome", fields->outcome);
        if (fields->version > 0)
            add_number_member(line, "version", fields->version);
        if (fields->is_end) {
            add_number_member(line, "bytes_sent", fields->sent);
            add_number_member(line, "bytes_received", fields->received);
            add_number_member(line, "milliseconds", fields->milliseconds);
        }
    }
    add(line, ",\"message\":\"");
    add_escaped(line, ESCAPE_JSON, message, 2);
    add(line, "\"}");
}

/* ---- text ---- */

static void make_text(struct line *line, enum log_level level, const char *message)
{
    if (config.format == LOG_TEXT) {
        add_time(line);
        add(line, " %s ", level_names[level]);
    } else if (config.stamp) {
        clock_format_utc(clock_wall_seconds(), line->text, sizeof(line->text));
        line->used = strlen(line->text);
        add(line, " ");
    }
    if (config.prefix[0] != '\0')
        add(line, "%s: ", config.prefix);
    if (config.format == LOG_TEXT)
        add_escaped(line, ESCAPE_LINE, message, 0);
    else
        add(line, "%s", message);
}

static void write_line(enum log_level level, const struct log_fields *fields, const char *format,
                       va_list args)
{
    char message[MESSAGE_MAX];
    struct line line = {.used = 0};

    if (level > config.level)
        return;
    vsnprintf(message, sizeof(message), format, args);
    if (config.format == LOG_JSON)
        make_json(&line, level, fields, message);
    else
        make_text(&line, level, message);
    line.text[line.used++] = '\n';
    status_line_write(line.text, line.used);
}

void log_line(enum log_level level, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_line(level, NULL, format, args);
    va_end(args);
}

void log_event(enum log_level level, const struct log_fields *fields, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_line(level, fields, format, args);
    va_end(args);
}

/* ---- what others say ---- */

/*
 * Length of the escape sequence that starts with the ESC at text (ECMA-48: control sequences, control strings such as
 * OSC, and the short ones). A byte that cannot belong to it ends it and is not counted.
 */
static size_t escape_length(const uint8_t *text, size_t len)
{
    size_t i = 1;

    if (len > 1 && text[1] == '[') {
        for (i = 2; i < len && text[i] >= 0x20 && text[i] <= 0x3f; i++)
            ;
        return i < len && text[i] >= 0x40 && text[i] <= 0x7e ? i + 1 : i;
    }
    if (len > 1 && memchr("]PX^_", text[1], 5) != NULL) {
        for (i = 2; i < len && text[i] != 0x07 && text[i] != 0x1b && text[i] != '\n'; i++)
            ;
        if (i + 1 < len && text[i] == 0x1b && text[i + 1] == '\\')
            return i + 2;
        return i < len && text[i] == 0x07 ? i + 1 : i;
    }
    while (i < len && text[i] >= 0x20 && text[i] <= 0x2f)
        i++;
    return i < len && text[i] >= 0x30 && text[i] <= 0x7e ? i + 1 : i;
}

size_t log_sanitize(const char *text, size_t text_len, char *out, size_t out_size)
{
    const uint8_t *bytes = (const uint8_t *)text;
    size_t used = 0;
    size_t i = 0;

    while (i < text_len) {
        size_t step = utf8_length(bytes + i, text_len - i);
        int is_c1 = step == 2 && bytes[i] == 0xc2 && bytes[i + 1] < 0xa0;
        int is_control = step == 1 && (bytes[i] < 0x20 || bytes[i] == 0x7f) && bytes[i] != '\n' &&
                         bytes[i] != '\t';

        if (bytes[i] == 0x1b) {
            i += escape_length(bytes + i, text_len - i);
            continue;
        }
        if (step == 0 || is_c1 || is_control) {
            i += step == 0 ? 1 : step;
            continue;
        }
        if (used + step >= out_size)
            break;
        memcpy(out + used, bytes + i, step);
        used += step;
        i += step;
    }
    if (out_size > 0)
        out[used] = '\0';
    return used;
}
