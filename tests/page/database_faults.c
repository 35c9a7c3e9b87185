/*
 * Every single write, sync, truncation and deletion of an apply made to fail in turn: the file must
 * be whole each time, and the error must say what happened. The faults are made in a VFS that
 * stands before SQLite's own.
 */
#include "protocol/page/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "tests/page/sample.h"

static sqlite3_vfs *real_vfs, faulty_vfs;
static const sqlite3_io_methods *real_methods;

/* SQLite's tables of methods differ in how they lock; reading and writing is the same in all. */
static struct {
    const sqlite3_io_methods *real;
    sqlite3_io_methods faulty;
} tables[4];

static int armed; /* whether operations are counted */
static int
    left; /* operations until the one that fails; those behind it fail, too, where it persists */
static int persists;
static int fault; /* what it returns */
static int fired; /* how often */

static int fails(void)
{
    if (!armed || left-- > 0)
        return 0;
    if (!persists && fired > 0)
        return 0;
    fired++;
    return 1;
}

static int faulty_write(sqlite3_file *file, const void *data, int amount, sqlite3_int64 offset)
{
    return fails() ? fault : real_methods->xWrite(file, data, amount, offset);
}

static int faulty_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return fails() ? fault : real_methods->xTruncate(file, size);
}

static int faulty_sync(sqlite3_file *file, int flags)
{
    return fails() ? SQLITE_IOERR_FSYNC : real_methods->xSync(file, flags);
}

static int faulty_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    int rc;

    (void)vfs;
    if ((flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL)) && fails())
        return SQLITE_CANTOPEN;
    rc = real_vfs->xOpen(real_vfs, name, file, flags, out);
    if (rc != SQLITE_OK || file->pMethods == NULL)
        return rc;
    for (int i = 0; i < 4; i++) {
        if (tables[i].real == NULL) {
            real_methods = tables[i].real = file->pMethods;
            tables[i].faulty = *file->pMethods;
            tables[i].faulty.xWrite = faulty_write;
            tables[i].faulty.xTruncate = faulty_truncate;
            tables[i].faulty.xSync = faulty_sync;
        }
        if (tables[i].real == file->pMethods) {
            file->pMethods = &tables[i].faulty;
            return SQLITE_OK;
        }
    }
    fail_msg("SQLite has more tables of methods than this test knows");
    return rc;
}

static int faulty_delete(sqlite3_vfs *vfs, const char *name, int sync_directory)
{
    (void)vfs;
    return fails() ? SQLITE_IOERR_DELETE : real_vfs->xDelete(real_vfs, name, sync_directory);
}

static const struct {
    const char *mode;
    int fault, persists;
} cases[] = {
    {"delete", SQLITE_FULL, 0}, {"delete", SQLITE_FULL, 1}, {"delete", SQLITE_IOERR_WRITE, 0},
    {"wal", SQLITE_FULL, 0},    {"wal", SQLITE_FULL, 1},    {"wal", SQLITE_IOERR_WRITE, 0},
};

static int apply(struct database *db, const char *source)
{
    int written;
    int rc = database_begin_write(db, NULL, &failure);

    if (rc == 0)
        rc = sample_write(source, db, &written);
    if (rc == 0)
        rc = database_commit(db, &failure);
    database_end(db);
    return rc;
}

/* One fault after `skip` operations. Whether there were as many. */
static int try_fault(size_t which, int skip, const char *source, const char *target, int *refused)
{
    uint8_t before[32], after[32], wanted[32];
    struct database *db = sample_open(target, DATABASE_WRITE, 50);
    int rc;

    sample_root(source, wanted);
    sample_root(target, before);
    left = skip;
    fired = 0;
    persists = cases[which].persists;
    fault = cases[which].fault;
    armed = 1;
    rc = apply(db, source);
    armed = 0;
    if (rc != 0) {
        if (rc != ERR_DISK_FULL && rc != ERR_IO && rc != ERR_NOT_ALLOWED)
            fail_msg("%s, after %d: %s %s", cases[which].mode, skip, error_name(rc), failure.text);
        if (rc == ERR_DISK_FULL)
            assert_int_equal(fault, SQLITE_FULL);
        assert_non_null(strstr(failure.text, target));
        ++*refused;
    }
    sample_root(target, after);
    if (rc == 0)
        assert_memory_equal(after, wanted, 32);
    else if (memcmp(after, before, 32) != 0)
        assert_memory_equal(after, wanted, 32);
    sample_check_integrity(target);
    /* The same object can be used again. */
    if (apply(db, source) != 0)
        fail_msg("%s, after %d, again: %s", cases[which].mode, skip, failure.text);
    database_free(db);
    sample_check_same(source, target);
    sample_check_integrity(target);
    return fired > 0;
}

#define ROWS(n)                                                                                    \
    "CREATE TABLE t(a); WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM c WHERE i "  \
    "< " #n ") INSERT INTO t SELECT randomblob(700) FROM c;"

static void test_each_operation(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
        int shrinks = i & 1, refused = 0, skip = 0;
        char *source, *target, sql[300];

        do {
            source = sample_path("source.db");
            target = sample_path("target.db");
            sample_sql(source, shrinks ? ROWS(3) : ROWS(20));
            snprintf(sql, sizeof(sql), "PRAGMA journal_mode = %s; %s", cases[i / 2].mode,
                     shrinks ? ROWS(20) : ROWS(3));
            sample_sql(target, sql);
        } while (try_fault(i / 2, skip++, source, target, &refused));
        assert_true(skip > 5);
        assert_true(refused > 3);
    }
}

static int setup(void **state)
{
    if (sample_setup(state) != 0)
        return -1;
    real_vfs = sqlite3_vfs_find(NULL);
    faulty_vfs = *real_vfs;
    faulty_vfs.zName = "faulty";
    faulty_vfs.pNext = NULL;
    faulty_vfs.xOpen = faulty_open;
    faulty_vfs.xDelete = faulty_delete;
    return sqlite3_vfs_register(&faulty_vfs, 1);
}

static int teardown(void **state)
{
    sample_teardown(state);
    return sqlite3_vfs_unregister(&faulty_vfs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_operation),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
