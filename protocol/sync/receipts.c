#include "protocol/sync/receipts.h"

#include <stdio.h>
#include <string.h>

#include <sqlite3.h>

#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/sync/sidecar_file.h"

/* The columns of a record, in the tables intent and receipt; fill_parameters and read_columns follow them. */
#define FIRST_COLUMNS "push_id, old_root, new_root, version, token, lease, time, instance"
#define COLUMNS       FIRST_COLUMNS ", pages, bytes, kind"
#define COLUMN_COUNT  11
#define PLACES        "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11"

static void fill_parameters(const struct push_record *record, struct parameter parameters[COLUMN_COUNT])
{
    const struct parameter row[COLUMN_COUNT] = {
        BYTES(record->push_id),      BYTES(record->old_root),       BYTES(record->new_root), NUMBER(record->version),
        NUMBER(record->fence.token), BYTES(record->fence.lease_id), NUMBER(record->time),    TEXT(record->instance),
        NUMBER(record->pages),       NUMBER(record->bytes),         NUMBER(record->kind)};

    memcpy(parameters, row, sizeof(row));
}

static void read_columns(sqlite3_stmt *stmt, struct push_record *record)
{
    const unsigned char *instance = sqlite3_column_text(stmt, 7);

    memset(record, 0, sizeof(*record));
    sidecar_column(stmt, 0, record->push_id, sizeof(record->push_id));
    sidecar_column(stmt, 1, record->old_root, sizeof(record->old_root));
    sidecar_column(stmt, 2, record->new_root, sizeof(record->new_root));
    record->version = (uint64_t)sqlite3_column_int64(stmt, 3);
    record->fence.token = (uint64_t)sqlite3_column_int64(stmt, 4);
    sidecar_column(stmt, 5, record->fence.lease_id, sizeof(record->fence.lease_id));
    record->time = sqlite3_column_int64(stmt, 6);
    snprintf(record->instance, sizeof(record->instance), "%s", instance != NULL ? (const char *)instance : "");
    record->pages = (uint32_t)sqlite3_column_int64(stmt, 8);
    record->bytes = (uint64_t)sqlite3_column_int64(stmt, 9);
    record->kind = (uint32_t)sqlite3_column_int64(stmt, 10);
}

/* "SELECT columns tail", with what a table of layout 1 lacks as layout 2 would have it. */
static int prepare(struct sidecar *sidecar, const char *tail, sqlite3_stmt **stmt, struct error *error)
{
    char sql[300];

    snprintf(sql, sizeof(sql), "SELECT %s FROM %s", sidecar->layout < 2 ? FIRST_COLUMNS ", 0, 0, 1" : COLUMNS, tail);
    if (sqlite3_prepare_v2(sidecar->db, sql, -1, stmt, NULL) != SQLITE_OK)
        return sidecar_fail(sidecar, "reading", error);
    return 0;
}

/* Read at most max rows; the statement is finalized. */
static int read_records(struct sidecar *sidecar, sqlite3_stmt *stmt, struct push_record *records, uint32_t max, uint32_t *count,
                        struct error *error)
{
    int rc = 0;
    int step = SQLITE_ROW;

    *count = 0;
    while (*count < max && (step = sqlite3_step(stmt)) == SQLITE_ROW)
        read_columns(stmt, &records[(*count)++]);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        rc = sidecar_fail(sidecar, "reading", error);
    sqlite3_finalize(stmt);
    return rc;
}

int receipts_read_intent(struct sidecar *sidecar, struct sidecar_state *state, struct error *error)
{
    sqlite3_stmt *stmt = NULL;
    uint32_t count = 0;
    int rc = prepare(sidecar, "intent", &stmt, error);

    if (rc == 0)
        rc = read_records(sidecar, stmt, &state->intent, 1, &count, error);
    state->has_intent = count > 0;
    return rc;
}

int sidecar_find_push(struct sidecar *sidecar, const uint8_t push_id[LINEAGE_SIZE], struct push_record *record, int *found,
                      struct error *error)
{
    sqlite3_stmt *stmt = NULL;
    uint32_t count = 0;
    int rc;

    *found = 0;
    rc = sidecar_connect(sidecar, 0, error);
    if (rc != 0 || sidecar->db == NULL)
        return rc;
    rc = prepare(sidecar, "receipt WHERE push_id = ?1", &stmt, error);
    if (rc != 0)
        return rc;
    sqlite3_bind_blob(stmt, 1, push_id, LINEAGE_SIZE, SQLITE_STATIC);
    rc = read_records(sidecar, stmt, record, 1, &count, error);
    *found = count > 0;
    return rc;
}

int sidecar_list_versions(struct sidecar *sidecar, uint64_t before, struct push_record *records, uint32_t max, uint32_t *count,
                          struct error *error)
{
    sqlite3_stmt *stmt = NULL;
    int rc;

    *count = 0;
    rc = sidecar_connect(sidecar, 0, error);
    if (rc != 0 || sidecar->db == NULL)
        return rc;
    rc = prepare(sidecar, "receipt WHERE old_root IS NOT new_root AND (?1 = 0 OR version < ?1) ORDER BY version DESC, seq DESC", &stmt,
                 error);
    if (rc != 0)
        return rc;
    sqlite3_bind_int64(stmt, 1, (sqlite3_int64)before);
    return read_records(sidecar, stmt, records, max, count, error);
}

/* ---- writing ---- */

/* Add a row, and drop the oldest beyond what is kept. */
static int store(struct sidecar *sidecar, const struct push_record *record, struct error *error)
{
    const struct parameter kept[] = {NUMBER(LIMIT_HISTORY)};
    struct parameter parameters[COLUMN_COUNT];
    int rc;

    fill_parameters(record, parameters);
    rc = sidecar_write(sidecar, "INSERT OR REPLACE INTO receipt(" COLUMNS ") VALUES(" PLACES ")", parameters, COLUMN_COUNT, error);
    if (rc == 0)
        rc = sidecar_write(sidecar, "DELETE FROM receipt WHERE seq <= (SELECT max(seq) FROM receipt) - ?1", kept, 1, error);
    return rc;
}

int receipts_note_change(struct sidecar *sidecar, const struct sidecar_state *state, const uint8_t root[ROOT_SIZE], struct error *error)
{
    struct push_record record = {.version = sidecar_version_of(state, root), .time = clock_wall_seconds(), .kind = ENTRY_CHANGED};

    memcpy(record.old_root, state->root, sizeof(record.old_root));
    memcpy(record.new_root, root, sizeof(record.new_root));
    /* The key of a row: the same when the same change is noticed again. */
    memcpy(record.push_id, &record.version, sizeof(record.version));
    memcpy(record.push_id + sizeof(record.version), root, LINEAGE_SIZE - sizeof(record.version));
    return store(sidecar, &record, error);
}

int sidecar_begin_push(struct sidecar *sidecar, struct push_record *record, struct error *error)
{
    struct parameter parameters[COLUMN_COUNT];
    struct sidecar_state state;
    int rc = sidecar_begin(sidecar, &state, error);

    if (rc != 0)
        return rc;
    rc = sidecar_check_fence(&state, &record->fence, error);
    /* What the push builds on may be somebody's change that nobody has noticed yet. */
    if (rc == 0 && sidecar_version_of(&state, record->old_root) > state.version && !state.has_intent)
        rc = receipts_note_change(sidecar, &state, record->old_root, error);
    if (rc == 0) {
        const struct parameter fence[] = {NUMBER(record->fence.token), BYTES(record->fence.lease_id)};
        record->version = sidecar_version_of(&state, record->old_root) + 1;
        record->time = clock_wall_seconds();
        record->kind = ENTRY_PUSHED;
        fill_parameters(record, parameters);
        rc = sidecar_write(sidecar, "INSERT OR REPLACE INTO intent(one, " COLUMNS ") VALUES(1, " PLACES ")", parameters, COLUMN_COUNT,
                           error);
        if (rc == 0)
            rc = sidecar_write(sidecar, "UPDATE state SET fence_token = ?1, fence_lease = ?2", fence, 2, error);
    }
    return sidecar_end(sidecar, rc, error);
}

/* Store the version and root that a committed push gave, and its receipt. */
static int store_receipt(struct sidecar *sidecar, const struct push_record *record, struct error *error)
{
    const struct parameter content[] = {NUMBER(record->version), BYTES(record->new_root)};
    int rc = store(sidecar, record, error);

    if (rc == 0)
        rc = sidecar_write(sidecar, "UPDATE state SET version = ?1, root = ?2", content, 2, error);
    return rc;
}

int sidecar_finish_push(struct sidecar *sidecar, const struct push_record *record, struct error *error)
{
    const struct parameter parameters[] = {BYTES(record->push_id)};
    struct push_record known;
    struct sidecar_state state;
    int found = 0;
    int rc = sidecar_begin(sidecar, &state, error);

    if (rc != 0)
        return rc;
    rc = sidecar_find_push(sidecar, record->push_id, &known, &found, error);
    if (rc == 0 && !found)
        rc = store_receipt(sidecar, record, error);
    if (rc == 0)
        rc = sidecar_write(sidecar, "DELETE FROM intent WHERE push_id = ?1", parameters, 1, error);
    return sidecar_end(sidecar, rc, error);
}

int sidecar_settle(struct sidecar *sidecar, const uint8_t root[ROOT_SIZE], struct error *error)
{
    struct sidecar_state state;
    int rc = sidecar_read(sidecar, &state, error);

    if (rc != 0 || !state.has_intent)
        return rc;
    if (memcmp(state.intent.new_root, root, ROOT_SIZE) == 0)
        return sidecar_finish_push(sidecar, &state.intent, error);
    rc = sidecar_begin(sidecar, &state, error);
    if (rc != 0)
        return rc;
    return sidecar_end(sidecar, sidecar_execute(sidecar, "DELETE FROM intent", "writing", error), error);
}
