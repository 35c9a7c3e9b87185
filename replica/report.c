#include "replica/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lockstore/doctor.h"
#include "protocol/base/clock.h"
#include "protocol/base/hex.h"
#include "protocol/base/instance.h"
#include "protocol/base/log.h"
#include "replica/report_json.h"
#include "replica/page_diff.h"
#include "replica/settings.h"
#include "replica/transfer.h"
#include "replica/version_list.h"

void report_defect(const struct error *error)
{
    if (error->code == ERR_INTERNAL)
        log_line(LOG_ERROR, "this is a defect, unless memory ran out: please report it, with the line above, `lockstep --version` and the command");
}

int report_error(const struct settings *settings, const struct error *error)
{
    log_line(LOG_ERROR, "%s", error->text);
    report_defect(error);
    if (settings->json)
        report_json_error(error);
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

/* "12,345.67": how rsync and sqlite3_rsync print a rate. out has room for 64 bytes. Returns out. */
static char *format_rate(double rate, char *out)
{
    unsigned long long hundredths = (unsigned long long)(rate * 100 + 0.5);
    char whole[32];

    snprintf(out, 64, "%s.%02llu", report_grouped(hundredths / 100, whole), hundredths % 100);
    return out;
}

static unsigned long long database_bytes(const struct transfer_outcome *outcome)
{
    return (unsigned long long)outcome->result.geometry.page_size * outcome->result.geometry.page_count;
}

/* ---- after a pull or push ---- */

/* A line on stderr, or in the sqlite3_rsync form, whose lines all are there, on stdout. */
static void __attribute__((format(printf, 2, 3))) say(const struct settings *settings, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (settings->command == COMMAND_SYNC)
        puts(text);
    else
        log_line(LOG_INFO, "%s", text);
}

/* rsync's two last lines. */
static void say_totals(const struct settings *settings, const struct transfer_outcome *outcome)
{
    unsigned long long moved = outcome->stats.sent + outcome->stats.received;
    double seconds = outcome->milliseconds > 0 ? (double)outcome->milliseconds / 1000 : 0.001;
    char sent[32];
    char received[32];
    char rate[64];

    say(settings, "sent %s bytes  received %s bytes  %s bytes/sec", report_grouped(outcome->stats.sent, sent),
        report_grouped(outcome->stats.received, received), format_rate((double)moved / seconds, rate));
    say(settings, "total size is %s  speedup is %s", report_grouped(database_bytes(outcome), sent),
        format_rate(moved > 0 ? (double)database_bytes(outcome) / (double)moved : 0, rate));
}

static void say_phases(const struct settings *settings, const struct transfer_outcome *outcome)
{
    char text[400];
    size_t used = (size_t)snprintf(text, sizeof(text), "seconds:              %.2f", (double)outcome->milliseconds / 1000);

    for (int phase = 0; phase < METER_PHASES && used < sizeof(text); phase++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s %.2f", phase == 0 ? ": " : ", ", meter_phase_name(phase),
                                 (double)outcome->spent[phase] / 1000);
    say(settings, "%s", text);
}

/* What --stats asks for. */
static void say_stats(const struct settings *settings, const struct transfer_outcome *outcome)
{
    const struct sync_result *result = &outcome->result;
    unsigned long long changed = (unsigned long long)result->geometry.page_size * result->pages;
    double moved = (double)(outcome->stats.sent + outcome->stats.received);
    char one[32];
    char two[32];
    char three[32];

    say(settings, "pages differing:      %s of %s, %s bytes", report_grouped(result->pages, one),
        report_grouped(result->geometry.page_count, two), report_grouped(changed, three));
    say(settings, "database:             %s bytes in pages of %u", report_grouped(database_bytes(outcome), one),
        result->geometry.page_size);
    say(settings, "bytes sent:           %s", report_grouped(outcome->stats.sent, one));
    say(settings, "bytes received:       %s", report_grouped(outcome->stats.received, one));
    say(settings, "round trips:          %u", outcome->stats.round_trips);
    if (database_bytes(outcome) > 0)
        say(settings, "of the database:      %.3f%%", 100 * moved / (double)database_bytes(outcome));
    if (changed > 0)
        say(settings, "of the changed pages: %.3f%%", 100 * moved / (double)changed);
    say_phases(settings, outcome);
}

/* What a dry run found. verb: "pulled" for "would be pulled". */
static void say_dry(const struct settings *settings, const char *verb, const struct transfer_outcome *outcome)
{
    const struct sync_result *result = &outcome->result;
    char bytes[32];

    if (!settings->quiet)
        say(settings, "dry run: %s%u of %u pages would be %s, %s bytes; nothing was changed%s", result->is_whole ? "at most " : "",
            result->pages, result->geometry.page_count, verb, report_grouped(result->bytes, bytes),
            result->is_whole ? " (the file would be made anew, so all pages were counted)" : "");
}

void report_sync(const struct settings *settings, const char *verb, const struct transfer_outcome *outcome)
{
    const struct sync_result *result = &outcome->result;
    char sent[32];
    char received[32];

    if (result->is_dry) {
        say_dry(settings, verb, outcome);
        return;
    }
    if (!settings->quiet)
        log_line(LOG_INFO, "%s version %llu: %u of %u pages, %s bytes sent, %s received, %.2f s", verb,
                 (unsigned long long)result->version, result->pages, result->geometry.page_count,
                 report_grouped(outcome->stats.sent, sent), report_grouped(outcome->stats.received, received),
                 (double)outcome->milliseconds / 1000);
    if (settings->stats)
        say_stats(settings, outcome);
    if (settings->verbose > 0 || settings->stats)
        say_totals(settings, outcome);
}

void report_status(const struct settings *settings, const char *state, const struct transfer_outcome *outcome)
{
    const struct message_hello *hello = &outcome->comparison.hello;
    char lineage[2 * LINEAGE_SIZE + 1] = "";

    if (!(hello->flags & HELLO_FRESH))
        hex_encode(hello->lineage, LINEAGE_SIZE, lineage);
    if (settings->json) {
        report_json_status(state, outcome);
        return;
    }
    printf("state:         %s\n", state);
    printf("lineage:       %s\n", lineage[0] != '\0' ? lineage : "none yet");
    if (hello->origin[0] != '\0')
        printf("copy of:       %s\n", hello->origin);
    printf("origin:        version %llu, %u pages of %u bytes%s\n", (unsigned long long)hello->version,
           hello->geometry.page_count, hello->geometry.page_size, hello->flags & HELLO_WAL ? ", WAL" : "");
    printf("local:         based on version %llu, %u pages of %u bytes\n", (unsigned long long)outcome->book.base_version,
           outcome->local.page_count, outcome->local.page_size);
    printf("fencing token: %llu\n", (unsigned long long)hello->fence_token);
}

void report_digests(const struct settings *settings, const struct transfer_outcome *outcome)
{
    char there[2 * ROOT_SIZE + 1];
    char here[2 * ROOT_SIZE + 1];

    hex_encode(outcome->comparison.there, ROOT_SIZE, there);
    hex_encode(outcome->comparison.here, ROOT_SIZE, here);
    if (settings->json)
        report_json_digests(outcome);
    else if (!settings->quiet)
        printf("origin %s\nlocal  %s\n", there, here);
}

void report_resolution(const struct settings *settings, const struct resolution *resolution)
{
    if (settings->json)
        report_json_resolution(resolution);
    if (settings->quiet)
        return;
    if (resolution->has_pushed) {
        report_sync(settings, "pushed", &resolution->pushed);
        if (resolution->kept[0] != '\0')
            log_line(LOG_WARNING,
                     "version %llu of the origin was replaced: its changes are no longer there; they remain in %s, and in the copies that "
                     "others pulled, until they pull again",
                     (unsigned long long)resolution->pulled.result.version, resolution->kept);
        return;
    }
    report_sync(settings, "pulled", &resolution->pulled);
    if (resolution->kept[0] != '\0')
        log_line(LOG_WARNING, "the local work was never pushed: it is no longer in %s and remains in %s", settings->arguments[1],
                 resolution->kept);
    else
        log_line(LOG_INFO, "%s had no changes that were not pushed", settings->arguments[1]);
}

void report_diff(const struct settings *settings, const struct transfer_outcome *outcome)
{
    const struct page_diff_result *result = page_diff_result(outcome->diff);
    char differing[32];
    char bytes[32];

    if (settings->json) {
        report_json_diff(outcome);
        return;
    }
    for (size_t i = 0; i < result->row_count; i++) {
        const struct page_diff_row *row = &result->rows[i];
        if (i == 0)
            printf("%10s  %10s  %16s\n", "differing", "of pages", "bytes");
        printf("%10s  ", report_grouped(row->differing, differing));
        printf("%10s  ", report_grouped(row->pages, differing));
        printf("%16s  ", report_grouped((unsigned long long)row->differing * result->origin.page_size, bytes));
        if (row->kind == DIFF_INDEX)
            printf("index %s on %s\n", row->name, row->table);
        else
            printf("%s%s\n", row->kind == DIFF_TABLE          ? "table "
                             : row->kind == DIFF_FREE         ? "free pages"
                             : row->kind == DIFF_POINTER_MAPS ? "pointer maps"
                                                              : "pages that only the origin has",
                   row->name);
    }
    printf("%s pages differ, %s bytes; version %llu of the origin has %u pages, the local copy %u\n",
           report_grouped(result->differing, differing),
           report_grouped((unsigned long long)result->differing * result->origin.page_size, bytes), (unsigned long long)result->version,
           result->origin.page_count, result->local.page_count);
}

void report_history(const struct settings *settings, const struct transfer_outcome *outcome)
{
    const struct message_hello *hello = version_list_hello(outcome->versions);
    uint32_t count;
    const struct message_entry *entries = version_list_entries(outcome->versions, &count);
    char stamp[32];
    char pages[32];
    char bytes[32];

    if (settings->json) {
        report_json_history(outcome);
        return;
    }
    if (count > 0 || hello->version > 0)
        printf("%8s  %-20s  %6s  %12s  %16s  %s\n", "version", "when", "token", "pages", "bytes", "who");
    if (hello->version > 0 && (count == 0 || entries[0].version < hello->version))
        printf("%8llu  %-20s  %6s  %12s  %16s  %s\n", (unsigned long long)hello->version, "", "", "", "",
               "a change without Lockstep, noticed only now");
    for (uint32_t i = 0; i < count; i++) {
        const struct message_entry *entry = &entries[i];
        int is_pushed = entry->kind == ENTRY_PUSHED;
        clock_format_utc((int64_t)entry->time, stamp, sizeof(stamp));
        printf("%8llu  %-20s  ", (unsigned long long)entry->version, stamp);
        if (entry->token > 0)
            printf("%6llu  ", (unsigned long long)entry->token);
        else
            printf("%6s  ", "");
        printf("%12s  %16s  %s\n", is_pushed && entry->pages > 0 ? report_grouped(entry->pages, pages) : "",
               is_pushed && entry->pages > 0 ? report_grouped(entry->bytes, bytes) : "",
               is_pushed             ? entry->instance
               : entry->version == 1 ? "as it was at the first sync"
                                     : "a change without Lockstep, noticed then");
    }
}

void report_holder(const struct settings *settings, const struct lock_holder *holder)
{
    const char *state = !holder->held ? "free" : holder->foreign ? "held by a script" : "held";
    char lease_id[2 * LOCK_LEASE_ID_SIZE + 1];
    char region[INSTANCE_MAX + 1];

    if (settings->json) {
        report_json_holder(holder);
        return;
    }
    if (!holder->exists) {
        printf("state:    free: nobody has ever held it, or the object was deleted\n");
        return;
    }
    printf("state:    %s\n", state);
    printf("instance: %s\n", holder->instance);
    if (instance_region(holder->instance, region, sizeof(region))[0] != '\0')
        printf("region:   %s\n", region);
    if (!holder->foreign) {
        printf("host:     %s, process %lld\n", holder->host, (long long)holder->pid);
        printf("token:    %llu\n", (unsigned long long)holder->token);
        printf("lease:    %s\n", hex_encode(holder->lease_id, LOCK_LEASE_ID_SIZE, lease_id));
    }
    printf("timeout:  %.3g s\n", (double)holder->timeout_ms / 1000);
    if (holder->age_ms >= 0)
        printf("age:      %.1f s, by the store's clock\n", (double)holder->age_ms / 1000);
}

void report_break(const struct settings *settings, const struct lock_holder *former, uint64_t token)
{
    if (settings->json) {
        report_json_break(former, token);
        return;
    }
    if (settings->quiet)
        return;
    if (!former->held)
        log_line(LOG_INFO, "the lock is free; it was before, and nobody lost it");
    else if (former->foreign)
        log_line(LOG_INFO, "the lock is free; it was taken from %s, a script, which no token fences off: see that it does not push",
                 former->instance[0] != '\0' ? former->instance : "somebody");
    else
        log_line(LOG_INFO, "the lock is free; it was taken from %s on %s, process %lld: its token %llu is fenced off by token %llu",
                 former->instance, former->host, (long long)former->pid, (unsigned long long)former->token,
                 (unsigned long long)token);
}

void report_lease(const struct settings *settings, uint64_t token, const uint8_t lease_id[LOCK_LEASE_ID_SIZE])
{
    char hex[2 * LOCK_LEASE_ID_SIZE + 1];

    hex_encode(lease_id, LOCK_LEASE_ID_SIZE, hex);
    if (settings->json)
        report_json_lease(token, lease_id);
    else
        printf("--token %llu --lease %s\n", (unsigned long long)token, hex);
}

void report_release(const struct settings *settings, uint64_t token)
{
    if (settings->json)
        report_json_release(token);
    else if (!settings->quiet)
        log_line(LOG_INFO, "released token %llu", (unsigned long long)token);
}

void report_doctor(const struct settings *settings, const struct doctor_report *report)
{
    if (settings->json) {
        report_json_doctor(report);
        return;
    }
    printf("%-8s%-44s%-28s%s\n", "", "what", "expected", "seen");
    for (size_t i = 0; i < report->count; i++)
        printf("%-8s%-44s%-28s%s\n", doctor_verdict_text(report->rows[i].verdict), report->rows[i].what, report->rows[i].expected,
               report->rows[i].seen);
}

void report_sqlite3_rsync(const struct settings *settings, const struct transfer_outcome *outcome)
{
    unsigned long long total = database_bytes(outcome);
    unsigned long long moved = outcome->stats.sent + outcome->stats.received;
    char sent[32];
    char received[32];
    char rate[64];

    if (outcome->result.is_dry) {
        say_dry(settings, "copied", outcome);
        return;
    }
    if (settings->stats)
        say_stats(settings, outcome);
    if (settings->verbose < 1)
        return;
    printf("sent %s bytes, received %s bytes", report_grouped(outcome->stats.sent, sent),
           report_grouped(outcome->stats.received, received));
    if (outcome->milliseconds > 0)
        printf(", %s bytes/sec", format_rate(1000.0 * (double)moved / (double)outcome->milliseconds, rate));
    printf("\ntotal size %s", report_grouped(total, sent));
    if (moved > 0 && moved <= total)
        printf("  speedup is %.2f", (double)total / (double)moved);
    putchar('\n');
    if (settings->verbose >= 3)
        printf("round trips: %u  page updates: %u  version: %llu\n", outcome->stats.round_trips, outcome->result.pages,
               (unsigned long long)outcome->result.version);
}
