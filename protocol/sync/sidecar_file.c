#include "protocol/sync/sidecar_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "protocol/base/error.h"
#include "protocol/sync/receipts.h"

/*
 * One row in `state`, with a fixed key, so that each change is an UPDATE. user_version is the layout's number; a later
 * layout is refused, because what it protects is unknown here.
 */
#define LAYOUT_VERSION 2
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
    "  token INTEGER NOT NULL, lease BLOB NOT NULL, time INTEGER NOT NULL, instance TEXT NOT NULL,"
    "  pages INTEGER NOT NULL, bytes INTEGER NOT NULL, kind INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS receipt("
    "  seq INTEGER PRIMARY KEY, push_id BLOB NOT NULL UNIQUE, old_root BLOB NOT NULL, new_root BLOB NOT NULL,"
    "  version INTEGER NOT NULL, token INTEGER NOT NULL, lease BLOB NOT NULL, time INTEGER NOT NULL,"
    "  instance TEXT NOT NULL, pages INTEGER NOT NULL, bytes INTEGER NOT NULL, kind INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS base_hashes("
    "  chunk INTEGER PRIMARY KEY, page_size INTEGER NOT NULL, hashes BLOB NOT NULL);"
    "PRAGMA user_version = 2;";

/* Layout 1 did not count what a push brought, and knew of no versions but pushed ones. */
static const char from_layout_1[] =
    "ALTER TABLE intent ADD COLUMN pages INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE intent ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE intent ADD COLUMN kind INTEGER NOT NULL DEFAULT 1;"
    "ALTER TABLE receipt ADD COLUMN pages INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE receipt ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE receipt ADD COLUMN kind INTEGER NOT NULL DEFAULT 1;"
    "PRAGMA user_version = 2;";

int sidecar_fail(struct sidecar *sidecar, const char *doing, struct error *error)
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

int sidecar_execute(struct sidecar *sidecar, const char *sql, const char *doing, struct error *error)
{
    if (sqlite3_exec(sidecar->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return sidecar_fail(sidecar, doing, error);
    return 0;
}

/* The number of the file's layout; 0 for one without tables. */
static int read_layout(struct sidecar *sidecar, struct error *error)
{
    sqlite3_stmt *stmt = NULL;
    int rc = 0;

    if (sqlite3_prepare_v2(sidecar->db, "PRAGMA user_version", -1, &stmt, NULL) != SQLITE_OK || sqlite3_step(stmt) != SQLITE_ROW)
        rc = sidecar_fail(sidecar, "reading", error);
    else
        sidecar->layout = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    if (rc == 0 && sidecar->layout > LAYOUT_VERSION)
        rc = error_set(error, ERR_NOT_A_DATABASE,
                       "the bookkeeping %s was written by a later Lockstep (layout %d, this one knows %d): upgrade this side",
                       sidecar->path, sidecar->layout, LAYOUT_VERSION);
    return rc;
}

/* Make the tables, or bring them up to date; another process may be doing the same. */
static int set_up(struct sidecar *sidecar, struct error *error)
{
    int rc = sidecar_execute(sidecar, "BEGIN IMMEDIATE", "setting up", error);

    if (rc == 0)
        rc = read_layout(sidecar, error);
    if (rc == 0 && sidecar->layout < LAYOUT_VERSION)
        rc = sidecar_execute(sidecar, sidecar->layout == 0 ? layout : from_layout_1, "setting up", error);
    if (rc == 0)
        rc = sidecar_execute(sidecar, "COMMIT", "setting up", error);
    if (rc == 0)
        sidecar->layout = LAYOUT_VERSION;
    return rc;
}

static int open_file(struct sidecar *sidecar, int create, struct error *error)
{
    int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);

    if (sqlite3_open_v2(sidecar->path, &sidecar->db, flags, NULL) != SQLITE_OK)
        return sidecar_fail(sidecar, "opening", error);
    sqlite3_busy_timeout(sidecar->db, (int)sidecar->timeout_ms);
    return sidecar_execute(sidecar, "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;", "opening", error);
}

static void disconnect(struct sidecar *sidecar)
{
    sqlite3_close(sidecar->db);
    sidecar->db = NULL;
}

int sidecar_connect(struct sidecar *sidecar, int create, struct error *error)
{
    int rc = 0;

    if (sidecar->db == NULL && !create && access(sidecar->path, F_OK) != 0)
        return 0;
    if (sidecar->db == NULL)
        rc = open_file(sidecar, create, error);
    if (rc == 0)
        rc = read_layout(sidecar, error);
    if (rc == 0 && create && sidecar->layout < LAYOUT_VERSION)
        rc = set_up(sidecar, error);
    /* An empty file, left by a crash before its first transaction, says nothing. */
    if (rc != 0 || sidecar->layout == 0)
        disconnect(sidecar);
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
    rc = sidecar_connect(new, 0, error);
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

/* ---- statements ---- */

int sidecar_column(sqlite3_stmt *stmt, int column, void *out, size_t size)
{
    if (sqlite3_column_bytes(stmt, column) != (int)size || sqlite3_column_type(stmt, column) != SQLITE_BLOB) {
        memset(out, 0, size);
        return 0;
    }
    memcpy(out, sqlite3_column_blob(stmt, column), size);
    return 1;
}

int sidecar_write(struct sidecar *sidecar, const char *sql, const struct parameter *parameters, size_t count,
                     struct error *error)
{
    sqlite3_stmt *stmt = NULL;
    int rc = 0;

    if (sqlite3_prepare_v2(sidecar->db, sql, -1, &stmt, NULL) != SQLITE_OK)
        return sidecar_fail(sidecar, "writing", error);
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
        rc = sidecar_fail(sidecar, "writing", error);
    sqlite3_finalize(stmt);
    return rc;
}

/* ---- transactions ---- */

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
        return sidecar_fail(sidecar, "reading", error);
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        state->has_lineage = sidecar_column(stmt, 0, state->lineage, sizeof(state->lineage)) &&
                             sidecar_column(stmt, 1, state->hash_key, sizeof(state->hash_key));
        state->version = (uint64_t)sqlite3_column_int64(stmt, 2);
        sidecar_column(stmt, 3, state->root, sizeof(state->root));
        state->fence.token = (uint64_t)sqlite3_column_int64(stmt, 4);
        sidecar_column(stmt, 5, state->fence.lease_id, sizeof(state->fence.lease_id));
        state->has_base = sidecar_column(stmt, 6, state->base_root, sizeof(state->base_root));
        state->base_version = (uint64_t)sqlite3_column_int64(stmt, 7);
        state->has_pending = sidecar_column(stmt, 8, state->pending_id, sizeof(state->pending_id)) &&
                             sidecar_column(stmt, 9, state->pending_root, sizeof(state->pending_root));
        state->has_incoming = sidecar_column(stmt, 10, state->incoming_root, sizeof(state->incoming_root));
        state->has_rebuilt = sidecar_column(stmt, 11, state->rebuilt_from, sizeof(state->rebuilt_from)) &&
                             sidecar_column(stmt, 12, state->rebuilt_to, sizeof(state->rebuilt_to));
    } else {
        rc = sidecar_fail(sidecar, "reading", error);
    }
    sqlite3_finalize(stmt);
    return rc;
}

int sidecar_read(struct sidecar *sidecar, struct sidecar_state *state, struct error *error)
{
    int rc;

    memset(state, 0, sizeof(*state));
    rc = sidecar_connect(sidecar, 0, error);
    if (rc != 0 || sidecar->db == NULL)
        return rc;
    rc = sidecar_execute(sidecar, "BEGIN", "reading", error);
    if (rc != 0)
        return rc;
    rc = read_state(sidecar, state, error);
    if (rc == 0)
        rc = receipts_read_intent(sidecar, state, error);
    sqlite3_exec(sidecar->db, "COMMIT", NULL, NULL, NULL);
    return rc;
}

int sidecar_begin(struct sidecar *sidecar, struct sidecar_state *state, struct error *error)
{
    int rc = sidecar_connect(sidecar, 1, error);

    if (rc != 0)
        return rc;
    rc = sidecar_execute(sidecar, "BEGIN IMMEDIATE", "locking", error);
    if (rc != 0)
        return rc;
    rc = read_state(sidecar, state, error);
    if (rc == 0)
        rc = receipts_read_intent(sidecar, state, error);
    if (rc != 0)
        sqlite3_exec(sidecar->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

int sidecar_end(struct sidecar *sidecar, int rc, struct error *error)
{
    if (rc == 0)
        rc = sidecar_execute(sidecar, "COMMIT", "writing", error);
    if (rc != 0)
        sqlite3_exec(sidecar->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}
