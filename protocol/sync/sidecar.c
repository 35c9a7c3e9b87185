#include "protocol/sync/sidecar.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/page/page_hash.h"

#define RECEIPTS_KEPT 1000

/* Page hashes of the base in one row: a push of scattered changes rewrites few rows, and the last one is cut to what there is. */
#define BASE_CHUNK 4096u

/*
 * One row in `state`, with a fixed key, so that each change is an UPDATE. user_version is the layout's number; a later
 * layout is refused, because what it protects is unknown here.
 */
#define LAYOUT_VERSION 1
static const char layout[] =
    "CREATE TABLE IF NOT EXISTS state("
    "  one INTEGER PRIMARY KEY CHECK(one = 1),"
    "  lineage BLOB, hash_key BLOB, version INTEGER NOT NULL DEFAULT 0, root BLOB,"
    "  fence_token INTEGER NOT NULL DEFAULT 0, fence_lease BLOB,"
    "  base_root BLOB, base_version INTEGER NOT NULL DEFAULT 0,"
    "  incoming_root BLOB, pending_id BLOB, pending_root BLOB, rebuilt_from BLOB, rebuilt_to BLOB);"
    "INSERT OR IGNORE INTO state(one) VALUES(1);"
    "CREATE TABLE IF NOT EXISTS intent("
    "  one INTEGER PRIMARY KEY CHECK(one = 1),"
    "  push_id BLOB NOT NULL, old_root BLOB NOT NULL, new_root BLOB NOT NULL, version INTEGER NOT NULL,"
    "  token INTEGER NOT NULL, lease BLOB NOT NULL, time INTEGER NOT NULL, instance TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS receipt("
    "  seq INTEGER PRIMARY KEY, push_id BLOB NOT NULL UNIQUE, old_root BLOB NOT NULL, new_root BLOB NOT NULL,"
    "  version INTEGER NOT NULL, token INTEGER NOT NULL, lease BLOB NOT NULL, time INTEGER NOT NULL,"
    "  instance TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS base_hashes("
    "  chunk INTEGER PRIMARY KEY, page_size INTEGER NOT NULL, hashes BLOB NOT NULL);"
    "PRAGMA user_version = 1;";

struct sidecar {
    char *path;
    sqlite3 *db; /* NULL until the file exists */
    uint32_t timeout_ms;
};

/* Turn SQLite's last error on this connection into ours. */
static int fail(struct sidecar *sidecar, const char *doing, struct error *error)
{
    int rc = sqlite3_errcode(sidecar->db);
    const char *why = sqlite3_errmsg(sidecar->db);
    int code = ERR_IO;

    switch (rc & 0xff) {
    case SQLITE_BUSY:
        code = ERR_BUSY;
        break;
    case SQLITE_FULL:
        code = ERR_DISK_FULL;
        break;
    case SQLITE_NOMEM:
        code = ERR_INTERNAL;
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return error_set(error, ERR_NOT_A_DATABASE,
                         "%s the bookkeeping %s: %s; it is damaged: move it away and join again with --adopt", doing,
                         sidecar->path, why);
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return error_set(error, ERR_NOT_ALLOWED,
                         "%s the bookkeeping %s: %s; its folder must be writable for this user", doing, sidecar->path,
                         why);
    default:
        break;
    }
    return error_set(error, code, "%s the bookkeeping %s: %s", doing, sidecar->path, why);
}

static int execute(struct sidecar *sidecar, const char *sql, const char *doing, struct error *error)
{
    if (sqlite3_exec(sidecar->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return fail(sidecar, doing, error);
    return 0;
}

/* Connect to the file. create: make it, with its tables, where it is missing. Leaves db NULL where it is missing and create is 0. */
static int connect_file(struct sidecar *sidecar, int create, struct error *error)
{
    int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
    sqlite3_stmt *stmt = NULL;
    int layout_version = 0;
    int rc;

    if (sidecar->db == NULL) {
        if (!create && access(sidecar->path, F_OK) != 0)
            return 0;
        rc = sqlite3_open_v2(sidecar->path, &sidecar->db, flags, NULL);
        if (rc != SQLITE_OK) {
            rc = fail(sidecar, "opening", error);
            goto fail;
        }
        sqlite3_busy_timeout(sidecar->db, (int)sidecar->timeout_ms);
        rc = execute(sidecar, "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;", "opening", error);
        if (rc != 0)
            goto fail;
    }
    if (sqlite3_prepare_v2(sidecar->db, "PRAGMA user_version", -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_ROW) {
        rc = fail(sidecar, "reading", error);
        sqlite3_finalize(stmt);
        goto fail;
    }
    layout_version = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    if (layout_version > LAYOUT_VERSION) {
        rc = error_set(error, ERR_NOT_A_DATABASE,
                       "the bookkeeping %s was written by a later Lockstep (layout %d, this one knows %d): upgrade this side",
                       sidecar->path, layout_version, LAYOUT_VERSION);
        goto fail;
    }
    if (layout_version == LAYOUT_VERSION)
        return 0;
    if (!create) {
        /* An empty file, left by a crash before its first transaction: it says nothing. */
        rc = 0;
        goto fail;
    }
    rc = execute(sidecar, "BEGIN IMMEDIATE", "setting up", error);
    if (rc == 0)
        rc = execute(sidecar, layout, "setting up", error);
    if (rc == 0)
        rc = execute(sidecar, "COMMIT", "setting up", error);
    if (rc == 0)
        return 0;
fail:
    sqlite3_close(sidecar->db);
    sidecar->db = NULL;
    return rc;
}

int sidecar_open(struct sidecar **sidecar, const char *real_path, uint32_t timeout_ms, struct error *error)
{
    struct sidecar *new = calloc(1, sizeof(*new));
    int rc;

    *sidecar = NULL;
    if (new == NULL || asprintf(&new->path, "%s-lockstep", real_path) < 0) {
        free(new);
        return error_set(error, ERR_INTERNAL, "out of memory");
    }
    new->timeout_ms = timeout_ms;
    rc = connect_file(new, 0, error);
    if (rc != 0) {
        sidecar_free(new);
        return rc;
    }
    *sidecar = new;
    return 0;
}

void sidecar_free(struct sidecar *sidecar)
{
    if (sidecar == NULL)
        return;
    sqlite3_close(sidecar->db);
    free(sidecar->path);
    free(sidecar);
}

/* ---- reading ---- */

/* Copy a blob column of exactly size bytes; 0 and zeros where it is NULL or of another size. */
static int column_bytes(sqlite3_stmt *stmt, int column, void *out, size_t size)
{
    if (sqlite3_column_bytes(stmt, column) != (int)size || sqlite3_column_type(stmt, column) != SQLITE_BLOB) {
        memset(out, 0, size);
        return 0;
    }
    memcpy(out, sqlite3_column_blob(stmt, column), size);
    return 1;
}

/* Columns as PUSH_COLUMNS names them. */
#define PUSH_COLUMNS "push_id, old_root, new_root, version, token, lease, time, instance"
static void column_push(sqlite3_stmt *stmt, struct push_record *record)
{
    const unsigned char *instance = sqlite3_column_text(stmt, 7);

    memset(record, 0, sizeof(*record));
    column_bytes(stmt, 0, record->push_id, sizeof(record->push_id));
    column_bytes(stmt, 1, record->old_root, sizeof(record->old_root));
    column_bytes(stmt, 2, record->new_root, sizeof(record->new_root));
    record->version = (uint64_t)sqlite3_column_int64(stmt, 3);
    record->fence.token = (uint64_t)sqlite3_column_int64(stmt, 4);
    column_bytes(stmt, 5, record->fence.lease_id, sizeof(record->fence.lease_id));
    record->time = sqlite3_column_int64(stmt, 6);
    snprintf(record->instance, sizeof(record->instance), "%s", instance != NULL ? (const char *)instance : "");
}

static int read_intent(struct sidecar *sidecar, struct sidecar_state *state, struct error *error)
{
    sqlite3_stmt *stmt = NULL;
    int rc = 0;
    int step;

    if (sqlite3_prepare_v2(sidecar->db, "SELECT " PUSH_COLUMNS " FROM intent", -1, &stmt, NULL) != SQLITE_OK)
        return fail(sidecar, "reading", error);
    step = sqlite3_step(stmt);
    if (step == SQLITE_ROW) {
        state->has_intent = 1;
        column_push(stmt, &state->intent);
    } else if (step != SQLITE_DONE) {
        rc = fail(sidecar, "reading", error);
    }
    sqlite3_finalize(stmt);
    return rc;
}

/* Read within whatever transaction is open. */
static int read_state(struct sidecar *sidecar, struct sidecar_state *state, struct error *error)
{
    sqlite3_stmt *stmt = NULL;
    int rc = 0;

    memset(state, 0, sizeof(*state));
    if (sqlite3_prepare_v2(sidecar->db,
                           "SELECT lineage, hash_key, version, root, fence_token, fence_lease, base_root, base_version,"
                           " pending_id, pending_root, incoming_root, rebuilt_from, rebuilt_to FROM state",
                           -1, &stmt, NULL) != SQLITE_OK)
        return fail(sidecar, "reading", error);
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        state->has_lineage = column_bytes(stmt, 0, state->lineage, sizeof(state->lineage)) &&
                             column_bytes(stmt, 1, state->hash_key, sizeof(state->hash_key));
        state->version = (uint64_t)sqlite3_column_int64(stmt, 2);
        column_bytes(stmt, 3, state->root, sizeof(state->root));
        state->fence.token = (uint64_t)sqlite3_column_int64(stmt, 4);
        column_bytes(stmt, 5, state->fence.lease_id, sizeof(state->fence.lease_id));
        state->has_base = column_bytes(stmt, 6, state->base_root, sizeof(state->base_root));
        state->base_version = (uint64_t)sqlite3_column_int64(stmt, 7);
        state->has_pending = column_bytes(stmt, 8, state->pending_id, sizeof(state->pending_id)) &&
                             column_bytes(stmt, 9, state->pending_root, sizeof(state->pending_root));
        state->has_incoming = column_bytes(stmt, 10, state->incoming_root, sizeof(state->incoming_root));
        state->has_rebuilt = column_bytes(stmt, 11, state->rebuilt_from, sizeof(state->rebuilt_from)) &&
                             column_bytes(stmt, 12, state->rebuilt_to, sizeof(state->rebuilt_to));
    } else {
        rc = fail(sidecar, "reading", error);
    }
    sqlite3_finalize(stmt);
    return rc;
}

int sidecar_read(struct sidecar *sidecar, struct sidecar_state *state, struct error *error)
{
    int rc;

    memset(state, 0, sizeof(*state));
    rc = connect_file(sidecar, 0, error);
    if (rc != 0 || sidecar->db == NULL)
        return rc;
    rc = execute(sidecar, "BEGIN", "reading", error);
    if (rc != 0)
        return rc;
    rc = read_state(sidecar, state, error);
    if (rc == 0)
        rc = read_intent(sidecar, state, error);
    sqlite3_exec(sidecar->db, "COMMIT", NULL, NULL, NULL);
    return rc;
}

uint64_t sidecar_version_of(const struct sidecar_state *state, const uint8_t root[ROOT_SIZE])
{
    static const uint8_t nothing[ROOT_SIZE];

    if (memcmp(state->root, root, ROOT_SIZE) == 0)
        return state->version;
    if (state->has_intent && memcmp(state->intent.new_root, root, ROOT_SIZE) == 0)
        return state->intent.version;
    if (state->version == 0 && memcmp(root, nothing, ROOT_SIZE) == 0)
        return 0;
    return state->version + 1;
}

int sidecar_is_base(const struct sidecar_state *state, const uint8_t base_root[ROOT_SIZE], const uint8_t root[ROOT_SIZE])
{
    return memcmp(base_root, root, ROOT_SIZE) == 0 ||
           (state->has_rebuilt && memcmp(state->rebuilt_from, base_root, ROOT_SIZE) == 0 &&
            memcmp(state->rebuilt_to, root, ROOT_SIZE) == 0);
}

int sidecar_find_push(struct sidecar *sidecar, const uint8_t push_id[LINEAGE_SIZE], struct push_record *record, int *found,
                      struct error *error)
{
    sqlite3_stmt *stmt = NULL;
    int rc;

    *found = 0;
    rc = connect_file(sidecar, 0, error);
    if (rc != 0 || sidecar->db == NULL)
        return rc;
    if (sqlite3_prepare_v2(sidecar->db, "SELECT " PUSH_COLUMNS " FROM receipt WHERE push_id = ?1", -1, &stmt, NULL) !=
        SQLITE_OK)
        return fail(sidecar, "reading", error);
    sqlite3_bind_blob(stmt, 1, push_id, LINEAGE_SIZE, SQLITE_STATIC);
    switch (sqlite3_step(stmt)) {
    case SQLITE_ROW:
        *found = 1;
        column_push(stmt, record);
        break;
    case SQLITE_DONE:
        break;
    default:
        rc = fail(sidecar, "reading", error);
    }
    sqlite3_finalize(stmt);
    return rc;
}

/* ---- writing ---- */

/* A parameter of a statement: bytes, a number or a text. */
struct parameter {
    const void *bytes; /* NULL: a number */
    size_t size;       /* of bytes; 0: a NUL-terminated text */
    uint64_t number;
};
#define BYTES(field)  {.bytes = (field), .size = sizeof(field)}
#define SIZED(p, len) {.bytes = (p), .size = (len)}
#define NUMBER(value) {.number = (uint64_t)(value)}
#define TEXT(text)    {.bytes = (text)}

static int write_row(struct sidecar *sidecar, const char *sql, const struct parameter *parameters, size_t count,
                     struct error *error)
{
    sqlite3_stmt *stmt = NULL;
    int rc = 0;

    if (sqlite3_prepare_v2(sidecar->db, sql, -1, &stmt, NULL) != SQLITE_OK)
        return fail(sidecar, "writing", error);
    for (size_t i = 0; i < count; i++) {
        int column = (int)i + 1;
        if (parameters[i].bytes == NULL)
            sqlite3_bind_int64(stmt, column, (sqlite3_int64)parameters[i].number);
        else if (parameters[i].size == 0)
            sqlite3_bind_text(stmt, column, parameters[i].bytes, -1, SQLITE_STATIC);
        else
            sqlite3_bind_blob(stmt, column, parameters[i].bytes, (int)parameters[i].size, SQLITE_STATIC);
    }
    if (sqlite3_step(stmt) != SQLITE_DONE)
        rc = fail(sidecar, "writing", error);
    sqlite3_finalize(stmt);
    return rc;
}

/* Open the write transaction that end_write ends, creating the sidecar first where it is missing. */
static int begin_write(struct sidecar *sidecar, struct sidecar_state *state, struct error *error)
{
    int rc = connect_file(sidecar, 1, error);

    if (rc != 0)
        return rc;
    rc = execute(sidecar, "BEGIN IMMEDIATE", "locking", error);
    if (rc != 0)
        return rc;
    rc = read_state(sidecar, state, error);
    if (rc == 0)
        rc = read_intent(sidecar, state, error);
    if (rc != 0)
        sqlite3_exec(sidecar->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

/* Commit if rc is 0, else undo. Returns rc, or why the commit failed. */
static int end_write(struct sidecar *sidecar, int rc, struct error *error)
{
    if (rc == 0)
        rc = execute(sidecar, "COMMIT", "writing", error);
    if (rc != 0)
        sqlite3_exec(sidecar->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

int sidecar_join(struct sidecar *sidecar, const uint8_t lineage[LINEAGE_SIZE], const uint8_t hash_key[HASH_KEY_SIZE],
                 int replace, struct error *error)
{
    const struct parameter parameters[] = {SIZED(lineage, LINEAGE_SIZE), SIZED(hash_key, HASH_KEY_SIZE)};
    struct sidecar_state state;
    int rc;

    rc = sidecar_read(sidecar, &state, error);
    if (rc != 0 || (state.has_lineage && memcmp(state.lineage, lineage, LINEAGE_SIZE) == 0))
        return rc;
    rc = begin_write(sidecar, &state, error);
    if (rc != 0)
        return rc;
    if (state.has_lineage && memcmp(state.lineage, lineage, LINEAGE_SIZE) == 0)
        return end_write(sidecar, 0, error);
    if (state.has_lineage && !replace)
        rc = error_set(error, ERR_MOVED, "the database was given a lineage by another process just now; try again");
    if (rc == 0)
        rc = write_row(sidecar,
                       "UPDATE state SET lineage = ?1, hash_key = ?2, version = 0, root = NULL, base_root = NULL,"
                       " base_version = 0, incoming_root = NULL, pending_id = NULL, pending_root = NULL,"
                       " rebuilt_from = NULL, rebuilt_to = NULL",
                       parameters, 2, error);
    if (rc == 0)
        rc = execute(sidecar, "DELETE FROM intent; DELETE FROM receipt; DELETE FROM base_hashes;", "writing", error);
    return end_write(sidecar, rc, error);
}

int sidecar_observe(struct sidecar *sidecar, const uint8_t root[ROOT_SIZE], uint64_t *version, struct error *error)
{
    struct sidecar_state state;
    int rc = sidecar_read(sidecar, &state, error);

    *version = sidecar_version_of(&state, root);
    if (rc != 0 || memcmp(state.root, root, ROOT_SIZE) == 0)
        return rc;
    rc = begin_write(sidecar, &state, error);
    if (rc != 0)
        return rc;
    *version = sidecar_version_of(&state, root);
    const struct parameter parameters[] = {NUMBER(*version), SIZED(root, ROOT_SIZE)};
    /* What an intent says is settled with the next push, under the database's lock. */
    if (!state.has_intent)
        rc = write_row(sidecar, "UPDATE state SET version = ?1, root = ?2", parameters, 2, error);
    return end_write(sidecar, rc, error);
}

int sidecar_check_fence(const struct sidecar_state *state, const struct fence *fence, struct error *error)
{
    if (fence->token > state->fence.token)
        return 0;
    if (fence->token == state->fence.token &&
        memcmp(fence->lease_id, state->fence.lease_id, sizeof(fence->lease_id)) == 0)
        return 0;
    if (fence->token == 0)
        return error_set(error, ERR_FENCED,
                         "this database is guarded by a lock (token %llu was seen) and the request came without one: "
                         "use `lockstep run --lock URL`, or give --token and --lease of a lock that you hold",
                         (unsigned long long)state->fence.token);
    if (fence->token == state->fence.token)
        return error_set(error, ERR_FENCED,
                         "another holder of the lock was here with token %llu, which is this one's, too: the lock was deleted "
                         "meanwhile; start again from the pull",
                         (unsigned long long)fence->token);
    return error_set(error, ERR_FENCED,
                     "token %llu of the lock is not the newest: token %llu was seen; this holder's time is over, "
                     "start again from the pull",
                     (unsigned long long)fence->token, (unsigned long long)state->fence.token);
}

int sidecar_set_fence(struct sidecar *sidecar, const struct fence *fence, struct error *error)
{
    const struct parameter parameters[] = {NUMBER(fence->token), BYTES(fence->lease_id)};
    struct sidecar_state state;
    int rc = begin_write(sidecar, &state, error);

    if (rc != 0)
        return rc;
    rc = sidecar_check_fence(&state, fence, error);
    if (rc == 0)
        rc = write_row(sidecar, "UPDATE state SET fence_token = ?1, fence_lease = ?2", parameters, 2, error);
    return end_write(sidecar, rc, error);
}

/* Store the version and root that a committed push gave, and its receipt. */
static int store_receipt(struct sidecar *sidecar, const struct push_record *record, struct error *error)
{
    const struct parameter parameters[] = {
        BYTES(record->push_id),       BYTES(record->old_root), BYTES(record->new_root), NUMBER(record->version),
        NUMBER(record->fence.token),  BYTES(record->fence.lease_id), NUMBER(record->time), TEXT(record->instance)};
    const struct parameter content[] = {NUMBER(record->version), BYTES(record->new_root)};
    const struct parameter kept[] = {NUMBER(RECEIPTS_KEPT)};
    int rc;

    rc = write_row(sidecar, "INSERT INTO receipt(" PUSH_COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", parameters, 8,
                   error);
    if (rc == 0)
        rc = write_row(sidecar, "UPDATE state SET version = ?1, root = ?2", content, 2, error);
    if (rc == 0)
        rc = write_row(sidecar, "DELETE FROM receipt WHERE seq <= (SELECT max(seq) FROM receipt) - ?1", kept, 1, error);
    return rc;
}

int sidecar_begin_push(struct sidecar *sidecar, struct push_record *record, struct error *error)
{
    struct sidecar_state state;
    int rc = begin_write(sidecar, &state, error);

    if (rc != 0)
        return rc;
    rc = sidecar_check_fence(&state, &record->fence, error);
    if (rc == 0) {
        record->version = sidecar_version_of(&state, record->old_root) + 1;
        record->time = clock_wall_seconds();
        const struct parameter parameters[] = {
            BYTES(record->push_id),      BYTES(record->old_root), BYTES(record->new_root), NUMBER(record->version),
            NUMBER(record->fence.token), BYTES(record->fence.lease_id), NUMBER(record->time), TEXT(record->instance)};
        rc = write_row(sidecar,
                       "INSERT OR REPLACE INTO intent(one, " PUSH_COLUMNS ") VALUES(1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                       parameters, 8, error);
        if (rc == 0)
            rc = write_row(sidecar, "UPDATE state SET fence_token = ?1, fence_lease = ?2", parameters + 4, 2, error);
    }
    return end_write(sidecar, rc, error);
}

int sidecar_finish_push(struct sidecar *sidecar, const struct push_record *record, struct error *error)
{
    const struct parameter parameters[] = {BYTES(record->push_id)};
    struct push_record known;
    struct sidecar_state state;
    int found = 0;
    int rc = begin_write(sidecar, &state, error);

    if (rc != 0)
        return rc;
    rc = sidecar_find_push(sidecar, record->push_id, &known, &found, error);
    if (rc == 0 && !found)
        rc = store_receipt(sidecar, record, error);
    if (rc == 0)
        rc = write_row(sidecar, "DELETE FROM intent WHERE push_id = ?1", parameters, 1, error);
    return end_write(sidecar, rc, error);
}

int sidecar_settle(struct sidecar *sidecar, const uint8_t root[ROOT_SIZE], struct error *error)
{
    struct sidecar_state state;
    int rc = sidecar_read(sidecar, &state, error);

    if (rc != 0 || !state.has_intent)
        return rc;
    if (memcmp(state.intent.new_root, root, ROOT_SIZE) == 0)
        return sidecar_finish_push(sidecar, &state.intent, error);
    rc = begin_write(sidecar, &state, error);
    if (rc != 0)
        return rc;
    return end_write(sidecar, execute(sidecar, "DELETE FROM intent", "writing", error), error);
}

int sidecar_set_pending(struct sidecar *sidecar, const uint8_t push_id[LINEAGE_SIZE], const uint8_t root[ROOT_SIZE],
                        struct error *error)
{
    const struct parameter parameters[] = {SIZED(push_id, LINEAGE_SIZE), SIZED(root, ROOT_SIZE)};
    struct sidecar_state state;
    int rc = begin_write(sidecar, &state, error);

    if (rc != 0)
        return rc;
    rc = write_row(sidecar, "UPDATE state SET pending_id = ?1, pending_root = ?2", parameters, 2, error);
    return end_write(sidecar, rc, error);
}

int sidecar_set_rebuilt(struct sidecar *sidecar, const uint8_t from[ROOT_SIZE], const uint8_t to[ROOT_SIZE],
                        struct error *error)
{
    const struct parameter parameters[] = {SIZED(from, ROOT_SIZE), SIZED(to, ROOT_SIZE)};
    struct sidecar_state state;
    int rc = begin_write(sidecar, &state, error);

    if (rc != 0)
        return rc;
    rc = write_row(sidecar,
                   "UPDATE state SET rebuilt_from = CASE WHEN rebuilt_to = ?1 THEN rebuilt_from ELSE ?1 END,"
                   " rebuilt_to = ?2, root = CASE WHEN root = ?1 THEN ?2 ELSE root END",
                   parameters, 2, error);
    return end_write(sidecar, rc, error);
}

int sidecar_set_incoming(struct sidecar *sidecar, const uint8_t root[ROOT_SIZE], struct error *error)
{
    const struct parameter parameters[] = {SIZED(root, ROOT_SIZE)};
    struct sidecar_state state;
    int rc = begin_write(sidecar, &state, error);

    if (rc != 0)
        return rc;
    rc = write_row(sidecar, "UPDATE state SET incoming_root = ?1", parameters, 1, error);
    return end_write(sidecar, rc, error);
}

/* ---- the hashes of the base ---- */

/* The hashes of chunk number `chunk` as they stand in the row: 16 bytes each, low half first, in the machine's byte order. */
static size_t chunk_size(const struct page_index *index, uint32_t chunk)
{
    uint32_t rest = index->page_count - chunk * BASE_CHUNK;

    return (rest < BASE_CHUNK ? rest : BASE_CHUNK) * sizeof(struct page_hash);
}

static uint32_t chunk_count(const struct page_index *index)
{
    return (uint32_t)(((uint64_t)index->page_count + BASE_CHUNK - 1) / BASE_CHUNK);
}

static int write_base_hashes(struct sidecar *sidecar, const struct page_index *index, struct error *error)
{
    const struct parameter beyond[] = {NUMBER(chunk_count(index))};
    int rc = write_row(sidecar, "DELETE FROM base_hashes WHERE chunk >= ?1", beyond, 1, error);

    for (uint32_t chunk = 0; rc == 0 && chunk < chunk_count(index); chunk++) {
        const struct parameter row[] = {NUMBER(chunk), NUMBER(index->page_size),
                                        SIZED(index->hashes + (size_t)chunk * BASE_CHUNK, chunk_size(index, chunk))};
        rc = write_row(sidecar,
                       "INSERT INTO base_hashes(chunk, page_size, hashes) VALUES(?1, ?2, ?3) ON CONFLICT(chunk) DO UPDATE"
                       " SET page_size = ?2, hashes = ?3 WHERE hashes IS NOT ?3 OR page_size IS NOT ?2",
                       row, 3, error);
    }
    return rc;
}

int sidecar_set_base(struct sidecar *sidecar, const uint8_t root[ROOT_SIZE], uint64_t version, const struct page_index *index,
                     struct error *error)
{
    const struct parameter parameters[] = {SIZED(root, ROOT_SIZE), NUMBER(version)};
    struct sidecar_state state;
    int rc = begin_write(sidecar, &state, error);

    if (rc != 0)
        return rc;
    rc = write_row(sidecar,
                   "UPDATE state SET base_root = ?1, base_version = ?2, version = ?2, root = ?1, incoming_root = NULL,"
                   " pending_id = NULL, pending_root = NULL",
                   parameters, 2, error);
    if (rc == 0)
        rc = write_base_hashes(sidecar, index, error);
    return end_write(sidecar, rc, error);
}

/* Take over one row; they come in order. Returns 0, or 1 where it does not fit what came before. */
static int add_chunk(sqlite3_stmt *stmt, struct page_index *index, struct error *error)
{
    int size = sqlite3_column_bytes(stmt, 2);
    uint32_t count = (uint32_t)size / sizeof(struct page_hash);
    uint32_t before = index->page_count;

    if ((uint64_t)sqlite3_column_int64(stmt, 0) * BASE_CHUNK != before || size % (int)sizeof(struct page_hash) != 0 ||
        count == 0 || count > BASE_CHUNK || page_index_resize(index, before + count, error) != 0)
        return 1;
    index->page_size = (uint32_t)sqlite3_column_int64(stmt, 1);
    memcpy(index->hashes + before, sqlite3_column_blob(stmt, 2), (size_t)size);
    return 0;
}

int sidecar_read_base(struct sidecar *sidecar, const uint8_t root[ROOT_SIZE], struct page_index *index, int *proven,
                      struct error *error)
{
    sqlite3_stmt *stmt = NULL;
    uint8_t stored[ROOT_SIZE];
    int bad = 0;
    int rc;

    *proven = 0;
    page_index_release(index);
    rc = connect_file(sidecar, 0, error);
    if (rc != 0 || sidecar->db == NULL)
        return rc;
    if (sqlite3_prepare_v2(sidecar->db, "SELECT chunk, page_size, hashes FROM base_hashes ORDER BY chunk", -1, &stmt, NULL) !=
        SQLITE_OK)
        return fail(sidecar, "reading", error);
    while (!bad && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        bad = add_chunk(stmt, index, error);
    rc = bad || rc == SQLITE_DONE ? 0 : fail(sidecar, "reading", error);
    sqlite3_finalize(stmt);
    page_index_root(index, stored);
    *proven = rc == 0 && !bad && memcmp(stored, root, ROOT_SIZE) == 0;
    if (!*proven)
        page_index_release(index);
    return rc;
}
