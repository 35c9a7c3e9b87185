/* Files that are no database, or can only be read, or have a schema that SQLite cannot make sense
 * of. */
#include "protocol/page/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/page/sample.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SOME_ROWS                                                                                  \
    "CREATE TABLE t(a, b); CREATE TABLE u(c); WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT " \
    "i + 1 FROM c WHERE i < 100) INSERT INTO t SELECT i, hex(randomblob(100)) FROM c;"

/* ---- what is no database ---- */

static void make_missing(const char *path)
{
    (void)path;
}

static void make_directory(const char *path)
{
    assert_int_equal(mkdir(path, 0755), 0);
}

static void make_fifo(const char *path)
{
    assert_int_equal(mkfifo(path, 0644), 0);
}

static void make_short_text(const char *path)
{
    sample_write_file(path, "hello", 5);
}

static void make_long_text(const char *path)
{
    char text[10000];

    memset(text, 'x', sizeof(text));
    sample_write_file(path, text, sizeof(text));
}

static void make_header_only(const char *path)
{
    sample_write_file(path, "SQLite format 3\0\x10\0\1\1\0\x40\x20\x20", 24);
}

static void truncate_by(const char *path, long bytes)
{
    struct stat status;

    sample_sql(path, SOME_ROWS);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(truncate(path, status.st_size - bytes), 0);
}

static void make_truncated_by_a_page(const char *path)
{
    truncate_by(path, 4096);
}

static void make_truncated_by_a_byte(const char *path)
{
    truncate_by(path, 1);
}

static void make_truncated_to_one_page(const char *path)
{
    sample_sql(path, SOME_ROWS);
    assert_int_equal(truncate(path, 4096), 0);
}

static void make_truncated_with_wal_mode(const char *path)
{
    sample_sql(path, "PRAGMA journal_mode = wal;" SOME_ROWS);
    assert_int_equal(truncate(path, 8192), 0);
}

static void change_byte(const char *path, long at, uint8_t value)
{
    uint8_t *bytes;
    long size;

    sample_sql(path, SOME_ROWS);
    bytes = sample_read_file(path, &size);
    bytes[at] = value;
    sample_write_file(path, bytes, size);
    free(bytes);
}

static void make_newer_read_version(const char *path)
{
    change_byte(path, 19, 3);
}

static void make_newer_schema_format(const char *path)
{
    change_byte(path, 47, 5);
}

static void make_wrong_page_size(const char *path)
{
    change_byte(path, 16, 0x11);
}

static void make_link_to_itself(const char *path)
{
    assert_int_equal(symlink(path, path), 0);
}

static const struct {
    void (*make)(const char *);
    int code;
    const char *text;
} broken[] = {
    {make_missing, ERR_NO_DATABASE, "No such file"},
    {make_directory, ERR_NOT_A_DATABASE, "directory"},
    {make_fifo, ERR_NOT_A_DATABASE, "no file"},
    {make_short_text, ERR_NOT_A_DATABASE, "not an SQLite database"},
    {make_long_text, ERR_NOT_A_DATABASE, "not an SQLite database"},
    {make_header_only, ERR_NOT_A_DATABASE, "truncated"},
    {make_truncated_by_a_page, ERR_NOT_A_DATABASE, "truncated"},
    {make_truncated_by_a_byte, ERR_NOT_A_DATABASE, "truncated"},
    {make_truncated_to_one_page, ERR_NOT_A_DATABASE, "truncated"},
    {make_truncated_with_wal_mode, ERR_NOT_A_DATABASE, "truncated"},
    {make_newer_read_version, ERR_NOT_A_DATABASE, "not an SQLite database"},
    {make_newer_schema_format, ERR_NOT_A_DATABASE, "unsupported file format"},
    {make_wrong_page_size, ERR_NOT_A_DATABASE, "not an SQLite database"},
    {make_link_to_itself, ERR_NOT_ALLOWED, "symbolic links"},
};

static void test_broken_files(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < COUNT(broken) * 2; i++) {
        unsigned flags = i & 1 ? DATABASE_WRITE : 0;
        char name[20], *path;
        struct database *db;
        int rc;

        snprintf(name, sizeof(name), "broken%zu.db", i);
        path = sample_path(name);
        broken[i / 2].make(path);
        failure.text[0] = '\0';
        rc = database_open(&db, path, flags, 100, &failure);
        if (rc == 0) {
            rc = i & 1 ? database_begin_write(db, NULL, &failure)
                       : database_begin_read(db, NULL, &failure);
            database_free(db);
        } else {
            assert_null(db);
        }
        if (rc != broken[i / 2].code || strstr(failure.text, broken[i / 2].text) == NULL ||
            strstr(failure.text, path) == NULL)
            fail_msg("row %zu: %s: %s", i / 2, error_name(rc), failure.text);
    }
}

/* ---- names ---- */

static void test_names(void **unused)
{
    static const char *const names[] = {
        "with space.db",  "it's.db",  "q?mode=memory.db",  "100%41.db",  "\"quoted\".db",
        "Zürich-東京.db", ":memory:", "file:x.db?mode=ro", "a\nline.db", "-wal",
    };
    char *old = getcwd(NULL, 0), *source = sample_path("source.db");

    (void)unused;
    sample_sql(source, SOME_ROWS);
    assert_int_equal(chdir(sample_directory()), 0);
    for (size_t i = 0; i < COUNT(names); i++) {
        char whole[300], *path = sample_path(names[i]);
        struct database *db;

        ok(database_open(&db, names[i], DATABASE_WRITE | DATABASE_CREATE, 100, &failure));
        snprintf(whole, sizeof(whole), "%s/%s", sample_directory(), names[i]);
        assert_string_equal(database_path(db), names[i]);
        assert_string_equal(database_real_path(db), whole);
        sample_carry(source, db);
        database_free(db);
        assert_int_equal(access(path, F_OK), 0);
        sample_check_same(source, path);
    }
    assert_int_equal(chdir(old), 0);
    free(old);
}

static void test_links(void **unused)
{
    char *path = sample_path("real.db"), *link = sample_path("link.db");
    struct database *db;

    (void)unused;
    sample_sql(path, SOME_ROWS);
    assert_int_equal(symlink("real.db", link), 0);
    db = sample_open(link, DATABASE_WRITE, 100);
    assert_string_equal(database_path(db), link);
    assert_string_equal(database_real_path(db), path);
    database_free(db);
}

/* ---- permissions ---- */

/* Root may do everything: for these tests it becomes nobody. */
static void become(uid_t uid)
{
    if (getuid() == 0 && uid != 0)
        assert_int_equal(setresuid(uid, uid, 0), 0);
    else if (uid == 0 && getuid() == 65534)
        assert_int_equal(setresuid(0, 0, 0), 0);
}

static void test_permissions(void **unused)
{
    static const struct {
        const char *mode;
        int file, directory; /* permissions */
        unsigned flags;
        int open, read, write; /* what is expected */
    } rows[] = {
        {"delete", 0000, 0755, 0, ERR_NOT_ALLOWED, 0, 0},
        {"delete", 0444, 0755, DATABASE_WRITE, ERR_NOT_ALLOWED, 0, 0},
        {"delete", 0444, 0555, 0, 0, 0, 0},
        {"delete", 0666, 0555, DATABASE_WRITE, 0, 0, ERR_NOT_ALLOWED},
        {"delete", 0666, 0777, DATABASE_WRITE, 0, 0, 0},
        {"wal", 0444, 0555, 0, 0, ERR_NOT_ALLOWED, 0},
        {"wal", 0666, 0555, 0, 0, ERR_NOT_ALLOWED, 0},
        {"wal", 0444, 0777, 0, 0, 0, 0},
        {"wal", 0666, 0777, DATABASE_WRITE, 0, 0, 0},
        {"wal", 0444, 0777, DATABASE_WRITE, ERR_NOT_ALLOWED, 0, 0},
    };
    char *source = sample_path("source.db");

    (void)unused;
    sample_sql(source, SOME_ROWS);
    chmod(sample_directory(), 0755);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char name[20], sql[300], path[300], *directory;
        struct database *db;
        int rc, written;

        snprintf(name, sizeof(name), "room%zu", i);
        directory = sample_path(name);
        mkdir(directory, 0755);
        snprintf(path, sizeof(path), "%s/some.db", directory);
        snprintf(sql, sizeof(sql), "PRAGMA journal_mode = %s; %s", rows[i].mode, SOME_ROWS);
        sample_sql(path, sql);
        chmod(path, (mode_t)rows[i].file);
        chmod(directory, (mode_t)rows[i].directory);
        become(65534);
        rc = database_open(&db, path, rows[i].flags, 100, &failure);
        if (rc != rows[i].open)
            fail_msg("row %zu: open: %s %s", i, error_name(rc), failure.text);
        if (rc == 0) {
            rc = database_begin_read(db, NULL, &failure);
            if (rc != rows[i].read)
                fail_msg("row %zu: read: %s %s", i, error_name(rc), rc ? failure.text : "");
            database_end(db);
        }
        become(0);
        if (rc == 0 && (rows[i].flags & DATABASE_WRITE)) {
            become(65534);
            rc = database_begin_write(db, NULL, &failure);
            become(0);
            if (rc == 0) {
                rc = sample_write(source, db, &written);
                become(65534);
                if (rc == 0)
                    rc = database_commit(db, &failure);
                become(0);
            }
            if (rc != rows[i].write)
                fail_msg("row %zu: write: %s %s", i, error_name(rc), rc ? failure.text : "");
        }
        database_free(db);
        chmod(directory, 0755);
    }
}

/* A hot journal that must not be rolled back cannot be read around. */
static void test_hot_journal_without_permission(void **unused)
{
    char *path = sample_path("hot.db");
    struct database *db;

    (void)unused;
    sample_sql(path, SOME_ROWS);
    sample_kill(sample_hold(path, "PRAGMA cache_size = 1; BEGIN; UPDATE t SET b = "
                                  "hex(randomblob(600));"));
    chmod(sample_directory(), 0755);
    become(65534);
    ok(database_open(&db, path, 0, 100, &failure));
    assert_int_equal(database_begin_read(db, NULL, &failure), ERR_NOT_ALLOWED);
    database_free(db);
    become(0);
}

/* ---- schemas ---- */

#define EDIT(sql) SOME_ROWS "PRAGMA writable_schema = on;" sql

static const char *const strange[] = {
    EDIT("INSERT INTO sqlite_schema VALUES('table', 'v', 'v', 0, 'CREATE VIRTUAL TABLE v USING "
         "nosuch(x)')"),
    EDIT("UPDATE sqlite_schema SET sql = 'CREATE TABLE t(' WHERE name = 't'"),
    EDIT("UPDATE sqlite_schema SET sql = 'CREATE SOMETHING NEW t(x)' WHERE name = 't'"),
    EDIT("UPDATE sqlite_schema SET rootpage = 99999 WHERE name = 't'"),
    EDIT("UPDATE sqlite_schema SET sql = x'ff00ff', type = 7 WHERE name = 'u'"),
    EDIT("UPDATE sqlite_schema SET name = 'sqlite_dbpage', tbl_name = 'sqlite_dbpage', sql = "
         "'CREATE "
         "TABLE sqlite_dbpage(pgno INTEGER PRIMARY KEY, data, schema)' WHERE name = 't'"),
    EDIT("UPDATE sqlite_schema SET sql = 'CREATE TRIGGER t AFTER INSERT ON nowhere BEGIN SELECT 1; "
         "END', type = 'trigger' WHERE name = 'u'"),
};

/* Into a plain database and back, over the same connections. */
static void check_strange(const char *path)
{
    char *plain = sample_path("plain.db"), *target = sample_path("target.db");
    struct database *db;

    sample_sql(plain, "CREATE TABLE p(q); INSERT INTO p VALUES(1);");
    sample_sql(target, "CREATE TABLE p(q); INSERT INTO p VALUES(2);");
    for (int i = 0; i < 2; i++) {
        db = sample_open(target, DATABASE_WRITE, 100);
        sample_carry(path, db);
        assert_int_equal(sample_carry(path, db), 0);
        if (i == 1) {
            database_free(db);
            db = sample_open(target, DATABASE_WRITE, 100);
        }
        sample_check_same(path, target);
        sample_carry(plain, db);
        database_free(db);
        sample_check_same(plain, target);
        sample_check_integrity(target);
        assert_int_equal(sample_number(target, "SELECT q FROM p"), 1);
    }
}

static void test_strange_schemas(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < COUNT(strange); i++) {
        char *path = sample_path("strange.db");

        sample_sql(path, strange[i]);
        check_strange(path);
    }
}

/* The schema's own b-tree in pieces, in three ways. */
static void test_damaged_schema_page(void **unused)
{
    (void)unused;
    for (int i = 0; i < 3; i++) {
        char *path = sample_path("damaged.db");
        uint8_t *bytes;
        long size;

        sample_sql(path, SOME_ROWS);
        bytes = sample_read_file(path, &size);
        memset(bytes + (i == 0   ? 100
                        : i == 1 ? 103
                                 : 3000),
               i == 2 ? 0x80 : 0xff, i == 2 ? 1096 : 20);
        sample_write_file(path, bytes, size);
        free(bytes);
        check_strange(path);
    }
}

/* VACUUM would lose what it cannot parse, so it is not let. */
static void test_no_vacuum_of_a_damaged_schema(void **unused)
{
    char *path = sample_path("strange.db");
    uint8_t before[32], after[32];
    struct database *db;

    (void)unused;
    sample_sql(path, strange[1]);
    sample_root(path, before);
    db = sample_open(path, DATABASE_WRITE, 100);
    assert_int_equal(database_change_page_size(db, 8192, &failure), ERR_NOT_A_DATABASE);
    database_free(db);
    sample_root(path, after);
    assert_memory_equal(before, after, 32);
    /* One whose module is not known is none that is damaged. */
    path = sample_path("strange.db");
    sample_sql(path, strange[0]);
    db = sample_open(path, DATABASE_WRITE, 100);
    ok(database_change_page_size(db, 8192, &failure));
    database_free(db);
    assert_int_equal(sample_number(path, "SELECT count(*) FROM sqlite_schema WHERE name = 'v'"), 1);
    assert_int_equal(sample_number(path, "SELECT count(*) FROM t"), 100);
}

static int teardown(void **state)
{
    become(0);
    return sample_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken_files),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_permissions),
        cmocka_unit_test(test_hot_journal_without_permission),
        cmocka_unit_test(test_strange_schemas),
        cmocka_unit_test(test_damaged_schema_page),
        cmocka_unit_test(test_no_vacuum_of_a_damaged_schema),
    };

    return cmocka_run_group_tests(tests, sample_setup, teardown);
}
