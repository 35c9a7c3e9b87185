#include "replica/report.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "protocol/base/hex.h"
#include "protocol/base/log.h"
#include "replica/settings.h"
#include "replica/transfer.h"

static void print_json(json_t *object)
{
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
}

int report_error(const struct settings *settings, const struct error *error)
{
    log_line(LOG_ERROR, "%s", error->text);
    if (settings->json)
        print_json(json_pack("{s:s, s:s, s:i}", "error", error_name(error->code), "message", error->text, "exit_status",
                             error_exit_status(error->code)));
    return error_exit_status(error->code);
}

char *report_grouped(unsigned long long number, char *out)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%llu", number);
    char *spot = out;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            *spot++ = ',';
        *spot++ = digits[i];
    }
    *spot = '\0';
    return out;
}

void report_sync(const struct settings *settings, const char *verb, const struct transfer_outcome *outcome)
{
    const struct sync_result *result = &outcome->result;
    char root[2 * ROOT_SIZE + 1];
    char sent[32];
    char received[32];

    if (settings->json) {
        print_json(json_pack("{s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "done", verb, "version",
                             (json_int_t)result->version, "root", hex_encode(result->geometry.root, ROOT_SIZE, root),
                             "page_size", (json_int_t)result->geometry.page_size, "page_count",
                             (json_int_t)result->geometry.page_count, "pages_differing", (json_int_t)result->pages,
                             "bytes_sent", (json_int_t)outcome->stats.sent, "bytes_received",
                             (json_int_t)outcome->stats.received, "round_trips", (json_int_t)outcome->stats.round_trips,
                             "seconds", (double)outcome->milliseconds / 1000));
    }
    if (!settings->quiet)
        log_line(LOG_INFO, "%s version %llu: %u of %u pages, %s bytes sent, %s received, %.2f s", verb,
                 (unsigned long long)result->version, result->pages, result->geometry.page_count,
                 report_grouped(outcome->stats.sent, sent), report_grouped(outcome->stats.received, received),
                 (double)outcome->milliseconds / 1000);
}

/* "12,345.67": how sqlite3_rsync prints a rate. */
static void print_rate(double rate)
{
    char whole[32];

    printf(", %s.%02u bytes/sec", report_grouped((unsigned long long)rate, whole),
           (unsigned)((rate - (double)(unsigned long long)rate) * 100));
}

void report_sqlite3_rsync(const struct settings *settings, const struct transfer_outcome *outcome)
{
    unsigned long long total = (unsigned long long)outcome->result.geometry.page_size * outcome->result.geometry.page_count;
    unsigned long long moved = outcome->stats.sent + outcome->stats.received;
    char sent[32];
    char received[32];

    if (settings->verbose < 1)
        return;
    printf("sent %s bytes, received %s bytes", report_grouped(outcome->stats.sent, sent),
           report_grouped(outcome->stats.received, received));
    if (outcome->milliseconds > 0)
        print_rate(1000.0 * (double)moved / (double)outcome->milliseconds);
    printf("\ntotal size %s", report_grouped(total, sent));
    if (moved > 0 && moved <= total)
        printf("  speedup is %.2f", (double)total / (double)moved);
    putchar('\n');
    if (settings->verbose >= 3)
        printf("round trips: %u  page updates: %u  version: %llu\n", outcome->stats.round_trips, outcome->result.pages,
               (unsigned long long)outcome->result.version);
}
