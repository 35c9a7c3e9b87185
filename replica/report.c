#include "replica/report.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "protocol/base/hex.h"
#include "protocol/base/instance.h"
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
    unsigned long long hundredths = (unsigned long long)(rate * 100 + 0.5);
    char whole[32];

    printf(", %s.%02llu bytes/sec", report_grouped(hundredths / 100, whole), hundredths % 100);
}

void report_status(const struct settings *settings, const char *state, const struct transfer_outcome *outcome)
{
    const struct message_hello *hello = &outcome->comparison.hello;
    char lineage[2 * LINEAGE_SIZE + 1] = "";

    if (!(hello->flags & HELLO_FRESH))
        hex_encode(hello->lineage, LINEAGE_SIZE, lineage);
    if (settings->json) {
        print_json(json_pack("{s:s, s:b, s:s, s:I, s:I, s:I, s:b, s:I, s:I, s:I, s:I}", "state", state, "equal",
                             outcome->comparison.equal, "lineage", lineage, "version", (json_int_t)hello->version, "page_size",
                             (json_int_t)hello->geometry.page_size, "page_count", (json_int_t)hello->geometry.page_count, "wal",
                             (hello->flags & HELLO_WAL) != 0, "local_version", (json_int_t)outcome->book.base_version,
                             "local_page_size", (json_int_t)outcome->local.page_size, "local_page_count",
                             (json_int_t)outcome->local.page_count, "fencing_token", (json_int_t)hello->fence_token));
        return;
    }
    printf("state:         %s\n", state);
    printf("lineage:       %s\n", lineage[0] != '\0' ? lineage : "none yet");
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
        print_json(json_pack("{s:b, s:s, s:s}", "equal", outcome->comparison.equal, "origin", there, "local", here));
    else if (!settings->quiet)
        printf("origin %s\nlocal  %s\n", there, here);
}

/* The record in a lock as an object. */
static json_t *holder_object(const struct lock_holder *holder)
{
    char lease_id[2 * LOCK_LEASE_ID_SIZE + 1] = "";
    char region[INSTANCE_MAX + 1];

    if (holder->exists && !holder->foreign)
        hex_encode(holder->lease_id, LOCK_LEASE_ID_SIZE, lease_id);
    return json_pack("{s:b, s:b, s:b, s:s, s:s, s:s, s:I, s:I, s:s, s:f, s:f}", "exists", holder->exists, "held", holder->held,
                     "foreign", holder->foreign, "instance", holder->instance, "region",
                     instance_region(holder->instance, region, sizeof(region)), "host", holder->host, "pid",
                     (json_int_t)holder->pid, "token", (json_int_t)holder->token, "lease", lease_id, "timeout_seconds",
                     (double)holder->timeout_ms / 1000, "age_seconds",
                     holder->age_ms >= 0 ? (double)holder->age_ms / 1000 : -1.0);
}

void report_holder(const struct settings *settings, const struct lock_holder *holder)
{
    const char *state = !holder->held ? "free" : holder->foreign ? "held by a script" : "held";
    char lease_id[2 * LOCK_LEASE_ID_SIZE + 1];
    char region[INSTANCE_MAX + 1];

    if (settings->json) {
        print_json(holder_object(holder));
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
        print_json(json_pack("{s:I, s:o}", "token", (json_int_t)token, "fenced", holder_object(former)));
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
        print_json(json_pack("{s:I, s:s}", "token", (json_int_t)token, "lease", hex));
    else
        printf("--token %llu --lease %s\n", (unsigned long long)token, hex);
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
