#include "protocol/link/far_lines.h"

#include <string.h>

#include "protocol/base/log.h"
#include "protocol/link/link.h"

static void end_line(struct far_lines *lines);

void far_lines_init(struct far_lines *lines, struct link *link)
{
    lines->link = link;
    lines->len = 0;
    lines->last[0] = '\0';
}

void far_lines_feed(struct far_lines *lines, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        /* A carriage return alone would write over the line before it on a terminal: it ends the
         * line. */
        if (data[i] == '\n' || data[i] == '\r')
            end_line(lines);
        else if (lines->len < sizeof(lines->line))
            lines->line[lines->len++] = data[i];
    }
}

void far_lines_end(struct far_lines *lines)
{
    end_line(lines);
}

static void end_line(struct far_lines *lines)
{
    char clean[LIMIT_FAR_LINE];
    size_t len = log_sanitize(lines->line, lines->len, clean, sizeof(clean));

    lines->len = 0;
    if (len == 0)
        return;
    memcpy(lines->last, clean, len + 1);
    if (lines->link->callbacks.on_far_line != NULL)
        lines->link->callbacks.on_far_line(lines->link->user, clean);
}
