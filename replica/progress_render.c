#include "replica/progress_render.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "replica/report.h"
#include "replica/report_json.h"

#define SHORT 32

/* An estimate from less than this is none. */
#define ESTIMATE_AFTER_MS 500

int64_t progress_left_ms(const struct progress_view *view)
{
    double left;

    if (view->phase_ms < ESTIMATE_AFTER_MS || view->pages_total == 0)
        return -1;
    if (view->bytes_total > 0) {
        /* The stream is made already, so it is the link that counts. */
        uint64_t moved = view->moved < view->bytes_total ? view->moved : view->bytes_total;
        if (moved == 0)
            return -1;
        left = (double)view->phase_ms * (double)(view->bytes_total - moved) / (double)moved;
    } else {
        uint32_t pages = view->pages < view->pages_total ? view->pages : view->pages_total;
        if (pages == 0)
            return -1;
        left = (double)view->phase_ms * (double)(view->pages_total - pages) / (double)pages;
    }
    return left < 1e12 ? (int64_t)left : -1;
}

char *progress_render_bytes(uint64_t bytes, char *out)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB"};
    double number = (double)bytes;
    size_t unit = 0;

    while (number >= 999.5 && unit < 6) {
        number /= 1000;
        unit++;
    }
    if (unit == 0)
        snprintf(out, SHORT, "%" PRIu64 " bytes", bytes);
    else
        snprintf(out, SHORT, number < 99.95 ? "%.1f %s" : "%.0f %s", number, units[unit]);
    return out;
}

char *progress_render_time(uint64_t milliseconds, char *out)
{
    uint64_t seconds = (milliseconds + 500) / 1000;

    if (seconds < 3600)
        snprintf(out, SHORT, "%" PRIu64 ":%02" PRIu64, seconds / 60, seconds % 60);
    else
        snprintf(out, SHORT, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, seconds / 3600, seconds / 60 % 60, seconds % 60);
    return out;
}

/* Append a part behind a comma, as long as the line stays within columns. */
static void add_part(char *line, size_t size, unsigned columns, const char *part)
{
    size_t used = strlen(line);

    if (used + strlen(part) + 2 > columns || used + strlen(part) + 3 > size)
        return;
    snprintf(line + used, size - used, "%s%s", used > 0 ? ", " : "", part);
}

static void add_pages(const struct progress_view *view, char *line, size_t size, unsigned columns)
{
    char done[SHORT];
    char total[SHORT];
    char part[128];

    if (view->pages_total > 0)
        snprintf(part, sizeof(part), "%s of %s pages (%u%%)", report_grouped(view->pages, done),
                 report_grouped(view->pages_total, total),
                 (unsigned)(100 * (uint64_t)(view->pages < view->pages_total ? view->pages : view->pages_total) / view->pages_total));
    else
        snprintf(part, sizeof(part), "%s pages", report_grouped(view->pages, done));
    add_part(line, size, columns, part);
}

void progress_render_text(const struct progress_view *view, unsigned columns, char *out, size_t out_size)
{
    int64_t left = progress_left_ms(view);
    char number[SHORT];
    char part[96];

    /* The last column stays free: some terminals wrap when it is written. */
    columns = columns > 1 ? columns - 1 : 1;
    snprintf(out, out_size < columns + 1 ? out_size : columns + 1, "%s", view->doing);
    if (view->place > 0) {
        snprintf(part, sizeof(part), "place %" PRIu32 " in the queue", view->place);
        add_part(out, out_size, columns, part);
    }
    if (view->pages > 0 || view->pages_total > 0)
        add_pages(view, out, out_size, columns);
    if (view->sent + view->received > 0) {
        add_part(out, out_size, columns, progress_render_bytes(view->sent + view->received, number));
        if (view->rate > 0) {
            snprintf(part, sizeof(part), "%s/s", progress_render_bytes(view->rate, number));
            add_part(out, out_size, columns, part);
        }
    }
    if (left >= 0)
        snprintf(part, sizeof(part), "%s left", progress_render_time((uint64_t)left, number));
    else
        snprintf(part, sizeof(part), "for %s", progress_render_time(view->phase_ms, number));
    add_part(out, out_size, columns, part);
}

void progress_render_json(const struct progress_view *view, char *out, size_t out_size)
{
    int64_t left = progress_left_ms(view);
    json_t *object = json_pack("{s:i, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I}", "v", REPORT_JSON_VERSION, "kind", "progress",
                               "phase", view->phase, "pages", (json_int_t)view->pages, "pages_total",
                               (json_int_t)view->pages_total, "bytes_sent", (json_int_t)view->sent, "bytes_received",
                               (json_int_t)view->received, "bytes_per_second", (json_int_t)view->rate, "phase_seconds",
                               (double)view->phase_ms / 1000, "seconds", (double)view->total_ms / 1000, "place",
                               (json_int_t)view->place);
    char *text;

    json_object_set_new(object, "seconds_left", left >= 0 ? json_real((double)left / 1000) : json_null());
    text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(12));
    snprintf(out, out_size, "%s\n", text != NULL ? text : "{}");
    free(text);
    json_decref(object);
}
