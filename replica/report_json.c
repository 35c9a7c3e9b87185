#include "replica/report_json.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "lockstore/doctor.h"
#include "protocol/base/clock.h"
#include "protocol/base/hex.h"
#include "protocol/base/instance.h"
#include "replica/page_diff.h"
#include "replica/transfer.h"
#include "replica/version_list.h"

/* Every object begins with these two. */
#define HEAD "{s:i, s:s, "
#define KIND(kind) "v", REPORT_JSON_VERSION, "kind", (kind)

static double seconds(uint64_t milliseconds)
{
    return (double)milliseconds / 1000;
}

static void print(json_t *object)
{
    json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(12));
    putchar('\n');
    json_decref(object);
}

static json_t *make_error(const struct error *error)
{
    return json_pack(HEAD "s:s, s:s, s:i}", KIND("error"), "error", error_name(error->code), "message", error->text, "exit_status",
                     error_exit_status(error->code));
}

void report_json_error(const struct error *error)
{
    print(make_error(error));
}

/* null where there is nothing to compare with. */
static json_t *ratio(double part, double whole)
{
    return whole > 0 ? json_real(part / whole) : json_null();
}

static json_t *make_phases(const struct transfer_outcome *outcome)
{
    json_t *phases = json_object();

    for (int phase = 0; phase < METER_PHASES; phase++)
        json_object_set_new(phases, meter_phase_name(phase), json_real(seconds(outcome->spent[phase])));
    return phases;
}

static json_t *make_sync(const char *verb, const struct transfer_outcome *outcome)
{
    const struct sync_result *result = &outcome->result;
    const struct geometry *geometry = &result->geometry;
    double moved = (double)(outcome->stats.sent + outcome->stats.received);
    char root[2 * ROOT_SIZE + 1];

    return json_pack(HEAD "s:s, s:b, s:b, s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:f, s:o}",
                     KIND(strcmp(verb, "pulled") == 0 ? "pull" : "push"), "done", result->is_dry ? "nothing" : verb, "dry_run",
                     result->is_dry, "at_most", result->is_whole, "stream_bytes", (json_int_t)result->bytes, "version", (json_int_t)result->version, "root",
                     hex_encode(geometry->root, ROOT_SIZE, root), "page_size", (json_int_t)geometry->page_size, "page_count",
                     (json_int_t)geometry->page_count, "pages_differing", (json_int_t)result->pages, "bytes_sent",
                     (json_int_t)outcome->stats.sent, "bytes_received", (json_int_t)outcome->stats.received, "round_trips",
                     (json_int_t)outcome->stats.round_trips, "database_bytes",
                     (json_int_t)geometry->page_size * geometry->page_count, "changed_bytes",
                     (json_int_t)geometry->page_size * result->pages, "ratio_to_database",
                     ratio(moved, (double)geometry->page_size * geometry->page_count), "ratio_to_changed",
                     ratio(moved, (double)geometry->page_size * result->pages), "seconds", seconds(outcome->milliseconds), "phases",
                     make_phases(outcome));
}

void report_json_sync(const char *verb, const struct transfer_outcome *outcome)
{
    print(make_sync(verb, outcome));
}

void report_json_run(const struct run_summary *summary)
{
    json_t *object = json_pack(HEAD "s:i, s:s, s:I, s:f}", KIND("run"), "exit_status", summary->exit_status, "lock", summary->lock,
                               "token", (json_int_t)summary->token, "seconds", seconds(summary->milliseconds));

    json_object_set_new(object, "pulled", summary->pulled != NULL ? make_sync("pulled", summary->pulled) : json_null());
    json_object_set_new(object, "job",
                        summary->job_ran ? json_pack("{s:i, s:i}", "status", summary->job_status, "signal", summary->job_signal)
                                         : json_null());
    json_object_set_new(object, "pushed", summary->pushed != NULL ? make_sync("pushed", summary->pushed) : json_null());
    json_object_set_new(object, "error", summary->error->code != ERR_NONE ? make_error(summary->error) : json_null());
    print(object);
}

void report_json_status(const char *state, const struct transfer_outcome *outcome)
{
    const struct message_hello *hello = &outcome->comparison.hello;
    char lineage[2 * LINEAGE_SIZE + 1] = "";
    char root[2 * ROOT_SIZE + 1];

    if (!(hello->flags & HELLO_FRESH))
        hex_encode(hello->lineage, LINEAGE_SIZE, lineage);
    print(json_pack(HEAD "s:s, s:b, s:s, s:s, s:I, s:s, s:I, s:I, s:b, s:I, s:I, s:I, s:I}", KIND("status"), "state", state, "equal",
                    outcome->comparison.equal, "copy_of", hello->origin, "lineage", lineage, "version", (json_int_t)hello->version, "root",
                    hex_encode(hello->geometry.root, ROOT_SIZE, root), "page_size", (json_int_t)hello->geometry.page_size,
                    "page_count", (json_int_t)hello->geometry.page_count, "wal", (hello->flags & HELLO_WAL) != 0, "local_version",
                    (json_int_t)outcome->book.base_version, "local_page_size", (json_int_t)outcome->local.page_size,
                    "local_page_count", (json_int_t)outcome->local.page_count, "fencing_token", (json_int_t)hello->fence_token));
}

void report_json_digests(const struct transfer_outcome *outcome)
{
    char there[2 * ROOT_SIZE + 1];
    char here[2 * ROOT_SIZE + 1];

    print(json_pack(HEAD "s:b, s:s, s:s}", KIND("verify"), "equal", outcome->comparison.equal, "origin",
                    hex_encode(outcome->comparison.there, ROOT_SIZE, there), "local",
                    hex_encode(outcome->comparison.here, ROOT_SIZE, here)));
}

void report_json_resolution(const struct resolution *resolution)
{
    int is_take = strcmp(resolution->way, "take-origin") == 0;
    json_t *object = json_pack(HEAD "s:s}", KIND("resolve"), "way", resolution->way);

    json_object_set_new(object, "kept", resolution->kept[0] != '\0' ? json_string(resolution->kept) : json_null());
    json_object_set_new(object, "pulled", is_take ? make_sync("pulled", &resolution->pulled) : json_null());
    json_object_set_new(object, "pushed", resolution->has_pushed ? make_sync("pushed", &resolution->pushed) : json_null());
    json_object_set_new(object, "replaced_version",
                        !is_take && resolution->kept[0] != '\0' ? json_integer((json_int_t)resolution->pulled.result.version) : json_null());
    print(object);
}

static json_t *make_diff_row(const struct page_diff_row *row)
{
    static const char *const kinds[] = {[DIFF_TABLE] = "table",
                                        [DIFF_INDEX] = "index",
                                        [DIFF_FREE] = "free",
                                        [DIFF_POINTER_MAPS] = "pointer-maps",
                                        [DIFF_BEYOND] = "only-origin"};

    return json_pack("{s:s, s:s, s:s, s:I, s:I}", "kind", kinds[row->kind], "name", row->name, "table", row->table, "pages_differing",
                     (json_int_t)row->differing, "pages", (json_int_t)row->pages);
}

void report_json_diff(const struct transfer_outcome *outcome)
{
    const struct page_diff_result *result = page_diff_result(outcome->diff);
    json_t *rows = json_array();

    for (size_t i = 0; i < result->row_count; i++)
        json_array_append_new(rows, make_diff_row(&result->rows[i]));
    print(json_pack(HEAD "s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", KIND("diff"), "equal", result->differing == 0,
                    "version", (json_int_t)result->version, "page_size", (json_int_t)result->origin.page_size, "page_count",
                    (json_int_t)result->origin.page_count, "local_page_count", (json_int_t)result->local.page_count, "pages_differing",
                    (json_int_t)result->differing, "only_origin", (json_int_t)result->only_origin, "only_local",
                    (json_int_t)result->only_local, "bytes_sent", (json_int_t)outcome->stats.sent, "bytes_received",
                    (json_int_t)outcome->stats.received, "rows", rows));
}

static json_t *make_entry(const struct message_entry *entry)
{
    char root[2 * ROOT_SIZE + 1];
    char region[INSTANCE_MAX + 1];
    char time[32];

    clock_format_utc((int64_t)entry->time, time, sizeof(time));
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:s}", "version", (json_int_t)entry->version, "how",
                     entry->kind == ENTRY_CHANGED ? "changed" : "pushed", "time", time, "instance", entry->instance, "region",
                     instance_region(entry->instance, region, sizeof(region)), "token", (json_int_t)entry->token, "pages",
                     (json_int_t)entry->pages, "bytes", (json_int_t)entry->bytes, "root", hex_encode(entry->root, ROOT_SIZE, root));
}

void report_json_history(const struct transfer_outcome *outcome)
{
    const struct message_hello *hello = version_list_hello(outcome->versions);
    uint32_t count;
    const struct message_entry *entries = version_list_entries(outcome->versions, &count);
    json_t *versions = json_array();

    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(versions, make_entry(&entries[i]));
    print(json_pack(HEAD "s:I, s:o}", KIND("history"), "version", (json_int_t)hello->version, "versions", versions));
}

/* The record in a lock. */
static json_t *make_holder(const struct lock_holder *holder)
{
    char lease_id[2 * LOCK_LEASE_ID_SIZE + 1] = "";
    char region[INSTANCE_MAX + 1];

    if (holder->exists && !holder->foreign)
        hex_encode(holder->lease_id, LOCK_LEASE_ID_SIZE, lease_id);
    return json_pack("{s:b, s:b, s:b, s:s, s:s, s:s, s:I, s:I, s:s, s:f, s:f}", "exists", holder->exists, "held", holder->held,
                     "foreign", holder->foreign, "instance", holder->instance, "region",
                     instance_region(holder->instance, region, sizeof(region)), "host", holder->host, "pid",
                     (json_int_t)holder->pid, "token", (json_int_t)holder->token, "lease", lease_id, "timeout_seconds",
                     seconds(holder->timeout_ms), "age_seconds", holder->age_ms >= 0 ? (double)holder->age_ms / 1000 : -1.0);
}

void report_json_holder(const struct lock_holder *holder)
{
    json_t *object = json_pack("{s:i, s:s}", KIND("lock-show"));
    json_t *fields = make_holder(holder);

    json_object_update(object, fields);
    json_decref(fields);
    print(object);
}

void report_json_break(const struct lock_holder *former, uint64_t token)
{
    print(json_pack(HEAD "s:I, s:o}", KIND("lock-break"), "token", (json_int_t)token, "fenced", make_holder(former)));
}

void report_json_release(uint64_t token)
{
    print(json_pack(HEAD "s:I}", KIND("lock-release"), "token", (json_int_t)token));
}

void report_json_lease(uint64_t token, const uint8_t lease_id[LOCK_LEASE_ID_SIZE])
{
    char hex[2 * LOCK_LEASE_ID_SIZE + 1];

    print(json_pack(HEAD "s:I, s:s}", KIND("lock-acquire"), "token", (json_int_t)token, "lease",
                    hex_encode(lease_id, LOCK_LEASE_ID_SIZE, hex)));
}

void report_json_doctor(const struct doctor_report *report)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < report->count; i++) {
        const struct doctor_row *row = &report->rows[i];
        json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s}", "verdict", doctor_verdict_text(row->verdict), "what", row->what,
                                              "expected", row->expected, "seen", row->seen));
    }
    print(json_pack(HEAD "s:b, s:o}", KIND("lock-doctor"), "usable", report->usable, "rows", rows));
}
