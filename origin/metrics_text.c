#include "origin/metrics_text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base/buffer.h"
#include "protocol/base/escape.h"

/* A line without its labels' values, and one of these, escaped. */
#define PIECE_MAX 400

static void append(struct metrics_text *text, const char *piece)
{
    if (!text->has_failed && buffer_append(text->out, piece, strlen(piece), NULL) != 0)
        text->has_failed = 1;
}

void metrics_family(struct metrics_text *text, const char *name, const char *type, const char *help)
{
    char piece[PIECE_MAX];

    text->family = name;
    snprintf(piece, sizeof(piece), "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
    append(text, piece);
}

void metrics_sample(struct metrics_text *text, const char *suffix, double value, ...)
{
    char piece[PIECE_MAX];
    const char *separator = "{";
    const char *label;
    va_list args;

    append(text, text->family);
    append(text, suffix);
    va_start(args, value);
    while ((label = va_arg(args, const char *)) != NULL) {
        const char *label_value = va_arg(args, const char *);

        append(text, separator);
        append(text, label);
        append(text, "=\"");
        escape_text(ESCAPE_LABEL, label_value, strlen(label_value), piece, sizeof(piece));
        append(text, piece);
        append(text, "\"");
        separator = ",";
    }
    va_end(args);
    append(text, separator[0] == ',' ? "} " : " ");
    /* A counter never seems to stand still: whole numbers have all their digits. */
    if (value < 1e18 && value == (double)(int64_t)value)
        snprintf(piece, sizeof(piece), "%lld\n", (long long)value);
    else
        snprintf(piece, sizeof(piece), "%.15g\n", value);
    append(text, piece);
}
