#include "tests/page/sample.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <ftw.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/page/database.h"

struct error failure;

static char directory[64];

int sample_setup(void **state)
{
    (void)state;
    /* In memory where that can be: the thousands of fsyncs are not what is tested. */
    snprintf(directory, sizeof(directory), "%s/lockstep-page-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(directory) == NULL;
}

const char *sample_directory(void)
{
    return directory;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status, (void)kind, (void)ftw;
    return remove(path);
}

int sample_teardown(void **state)
{
    (void)state;
    return nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

char *sample_path(const char *name)
{
    static const char *const suffixes[] = {"-wal", "-shm", "-journal", ".lockstep-partial", ""};
    static char paths[16][256];
    static unsigned next;
    char *path = paths[next++ % 16];

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
    sample_sql_reserved(path, 0, sql);
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

void sample_sql_reserved(const char *path, int reserved, const char *sql)
{
    sqlite3 *handle = open_file(path);
    char *message = NULL;

    if (reserved > 0)
        sqlite3_file_control(handle, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
    if (sqlite3_exec(handle, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s\n%s", path, message, sql);
    assert_int_equal(sqlite3_close(handle), SQLITE_OK);
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

/* In the child: hold, say so, wait, let go. */
static void hold(const char *path, const char *sql, int ready, int until, unsigned ms)
{
    sqlite3 *handle;
    char byte;

    sqlite3_open(path, &handle);
    if (sqlite3_exec(handle, sql, NULL, NULL, NULL) != SQLITE_OK || write(ready, "r", 1) != 1)
        _exit(1);
    if (until >= 0 && read(until, &byte, 1) < 0)
        _exit(1);
    usleep(ms * 1000);
    sqlite3_close(handle);
    _exit(0);
}

static struct sample_holder start_holder(const char *path, const char *sql, int waits, unsigned ms)
{
    struct sample_holder holder;
    int ready[2], until[2];
    char byte;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(until), 0);
    holder.pid = fork();
    if (holder.pid == 0) {
        close(until[1]);
        hold(path, sql, ready[1], waits ? until[0] : -1, ms);
    }
    close(until[0]);
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    holder.until = until[1];
    return holder;
}

struct sample_holder sample_hold(const char *path, const char *sql)
{
    return start_holder(path, sql, 1, 0);
}

struct sample_holder sample_hold_for(const char *path, const char *sql, unsigned ms)
{
    return start_holder(path, sql, 0, ms);
}

void sample_let_go(struct sample_holder holder)
{
    int status;

    close(holder.until);
    assert_int_equal(waitpid(holder.pid, &status, 0), holder.pid);
    assert_int_equal(status, 0);
}

void sample_kill(struct sample_holder holder)
{
    int status;

    kill(holder.pid, SIGKILL);
    assert_int_equal(waitpid(holder.pid, &status, 0), holder.pid);
    close(holder.until);
}

const struct page_hasher *sample_hasher(void)
{
    static struct page_hasher hasher;

    page_hasher_init(&hasher, (const uint8_t *)"0123456789abcdef0123456789abcdef");
    return &hasher;
}

struct database *sample_open(const char *path, unsigned flags, uint32_t timeout_ms)
{
    struct database *db;

    ok(database_open(&db, path, flags, timeout_ms, &failure));
    return db;
}

void sample_scan(struct database *db, struct page_index *index)
{
    ok(database_scan(db, sample_hasher(), index, NULL, NULL, &failure));
}

void sample_root(const char *path, uint8_t root[PAGE_ROOT_SIZE])
{
    struct database *db = sample_open(path, 0, 2000);
    struct page_index index = {0};
    uint8_t digest[32];

    ok(database_begin_read(db, NULL, &failure));
    sample_scan(db, &index);
    page_index_root(&index, root);
    ok(database_digest(db, digest, &failure));
    page_index_release(&index);
    database_free(db);
}

void sample_check_same(const char *a, const char *b)
{
    uint8_t roots[2][PAGE_ROOT_SIZE];

    sample_root(a, roots[0]);
    sample_root(b, roots[1]);
    assert_memory_equal(roots[0], roots[1], PAGE_ROOT_SIZE);
}

int sample_write(const char *source_path, struct database *target, int *written)
{
    struct database *source = sample_open(source_path, 0, 2000);
    struct page_index theirs = {0}, ours = {0};
    uint8_t *page = malloc(LIMIT_PAGE_SIZE_MAX);
    int rc = 0;

    *written = 0;
    ok(database_begin_read(source, NULL, &failure));
    sample_scan(source, &theirs);
    sample_scan(target, &ours);
    for (uint32_t i = 0; i < theirs.page_count && rc == 0; i++) {
        if (i < ours.page_count && memcmp(&ours.hashes[i], &theirs.hashes[i], 16) == 0)
            continue;
        ok(database_read_page(source, i + 1, page, &failure));
        rc = database_write_page(target, i + 1, page, theirs.page_size, &failure);
        ++*written;
    }
    if (rc == 0)
        rc = database_truncate(target, theirs.page_count, &failure);
    page_index_release(&theirs);
    page_index_release(&ours);
    database_free(source);
    free(page);
    return rc;
}

int sample_carry(const char *source_path, struct database *target)
{
    int written;

    ok(database_begin_write(target, NULL, &failure));
    ok(sample_write(source_path, target, &written));
    ok(database_commit(target, &failure));
    return written;
}
