#include "protocol/sync/history_file.h"

#include <stdlib.h>
#include <unistd.h>

#include <sqlite3.h>

#define LAYOUT_VERSION 2

/* An older or newer layout is of no use: its tables are thrown away. */
static const char layout[] =
    "DROP TABLE IF EXISTS pack;"
    "CREATE TABLE pack(id INTEGER PRIMARY KEY, version INTEGER NOT NULL,"
    "  page_size INTEGER NOT NULL, keys BLOB NOT NULL, data BLOB NOT NULL);"
    "CREATE INDEX pack_by_version ON pack(version);"
    "PRAGMA user_version = 2;";

static void close_file(struct history_file *file)
{
    sqlite3_close(file->db);
    file->db = NULL;
}

void history_file_release(struct history_file *file)
{
    close_file(file);
    free(file->path);
    file->path = NULL;
}

int history_file_execute(struct history_file *file, const char *sql)
{
    return sqlite3_exec(file->db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

struct sqlite3_stmt *history_file_prepare(struct history_file *file, const char *sql)
{
    sqlite3_stmt *stmt = NULL;

    return sqlite3_prepare_v2(file->db, sql, -1, &stmt, NULL) == SQLITE_OK ? stmt : NULL;
}

int64_t history_file_number(struct history_file *file, const char *sql)
{
    sqlite3_stmt *stmt = history_file_prepare(file, sql);
    int64_t number = -1;

    if (stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW)
        number = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return number;
}

int history_file_is_damaged(const struct history_file *file)
{
    int rc = sqlite3_errcode(file->db);

    return rc == SQLITE_NOTADB || rc == SQLITE_CORRUPT || rc == SQLITE_ERROR;
}

void history_file_throw_away(struct history_file *file)
{
    close_file(file);
    unlink(file->path);
}

static int set_up(struct history_file *file)
{
    int64_t version = history_file_number(file, "PRAGMA user_version");

    return version == LAYOUT_VERSION || (version >= 0 && history_file_execute(file, layout));
}

int history_file_connect(struct history_file *file)
{
    static const char pragmas[] = "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY;";

    for (int attempt = 0; file->db == NULL && attempt < 2; attempt++) {
        if (sqlite3_open_v2(file->path, &file->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                            NULL) == SQLITE_OK &&
            history_file_execute(file, pragmas) && set_up(file)) {
            sqlite3_busy_timeout(file->db, 2000);
            break;
        }
        if (!history_file_is_damaged(file)) {
            close_file(file);
            break;
        }
        history_file_throw_away(file);
    }
    return file->db != NULL;
}
