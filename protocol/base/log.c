#include "protocol/base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/clock.h"

static struct {
    enum log_level level;
    char prefix[201];
    int stamp;
} config = {.level = LOG_INFO};

void log_setup(enum log_level level, const char *prefix, int stamp)
{
    config.level = level;
    config.stamp = stamp;
    snprintf(config.prefix, sizeof(config.prefix), "%s", prefix != NULL ? prefix : "");
}

void log_line(enum log_level level, const char *format, ...)
{
    char line[2048];
    size_t used = 0;
    va_list args;
    int len;

    if (level > config.level)
        return;
    if (config.stamp) {
        clock_format_utc(clock_wall_seconds(), line, sizeof(line));
        used = strlen(line);
        line[used++] = ' ';
    }
    if (config.prefix[0] != '\0')
        used += (size_t)snprintf(line + used, sizeof(line) - used, "%s: ", config.prefix);
    va_start(args, format);
    len = vsnprintf(line + used, sizeof(line) - 1 - used, format, args);
    va_end(args);
    if (len > 0)
        used += strlen(line + used);
    line[used++] = '\n';
    /* A log that cannot be written has nowhere to be complained about. */
    if (write(STDERR_FILENO, line, used) < 0)
        return;
}

/* Length of the well-formed UTF-8 sequence at text, 0 where there is none (RFC 3629). */
static size_t utf8_length(const uint8_t *text, size_t len)
{
    size_t need;

    if (text[0] < 0x80)
        return 1;
    if (text[0] >= 0xc2 && text[0] <= 0xdf)
        need = 2;
    else if (text[0] >= 0xe0 && text[0] <= 0xef)
        need = 3;
    else if (text[0] >= 0xf0 && text[0] <= 0xf4)
        need = 4;
    else
        return 0;
    if (len < need)
        return 0;
    for (size_t i = 1; i < need; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    return need;
}

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
