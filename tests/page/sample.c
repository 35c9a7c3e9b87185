#include "tests/page/sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <ftw.h>

#include <cmocka.h>
#include <sqlite3.h>

static char directory[] = "/tmp/lockstep-page-XXXXXX";

void sample_init(void)
{
    if (mkdtemp(directory) == NULL)
        abort();
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status, (void)kind, (void)ftw;
    return remove(path);
}

void sample_release(void)
{
    nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

char *sample_path(const char *name)
{
    static const char *const suffixes[] = {"-wal", "-shm", "-journal", ".lockstep-partial", ""};
    static char paths[8][256];
    static unsigned next;
    char *path = paths[next++ % 8];

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        snprintf(path, sizeof(paths[0]), "%s/%s%s", directory, name, suffixes[i]);
        unlink(path);
    }
    return path;
}

static sqlite3 *open_file(const char *path)
{
    sqlite3 *handle;

    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    sqlite3_busy_timeout(handle, 5000);
    return handle;
}

void sample_sql(const char *path, const char *sql)
{
    sqlite3 *handle = open_file(path);
    char *message = NULL;

    if (sqlite3_exec(handle, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s\n%s", path, message, sql);
    assert_int_equal(sqlite3_close(handle), SQLITE_OK);
}

int64_t sample_number(const char *path, const char *sql)
{
    sqlite3 *handle = open_file(path);
    sqlite3_stmt *statement;
    int64_t value;

    if (sqlite3_prepare_v2(handle, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s\n%s", path, sqlite3_errmsg(handle), sql);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(handle), SQLITE_OK);
    return value;
}

void sample_check_integrity(const char *path)
{
    sqlite3 *handle = open_file(path);
    sqlite3_stmt *statement;

    assert_int_equal(sqlite3_prepare_v2(handle, "PRAGMA integrity_check", -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(statement, 0), "ok");
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(handle), SQLITE_OK);
}

uint8_t *sample_read_file(const char *path, long *size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data;

    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = ftell(file);
    rewind(file);
    data = malloc((size_t)*size + 1);
    assert_int_equal(fread(data, 1, (size_t)*size, file), (size_t)*size);
    fclose(file);
    return data;
}

void sample_write_file(const char *path, const void *data, long size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, (size_t)size, file), (size_t)size);
    fclose(file);
}
