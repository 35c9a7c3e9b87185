/* The pages of one database carried into another through struct database, over all that a database
 * can be. */
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

#include "protocol/base/limits.h"
#include "tests/page/sample.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define ROWS(n)                                                                                    \
    "WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM c WHERE i < " #n                \
    ") INSERT INTO t(a, b) SELECT i, hex(randomblob(i % 300)) FROM c;"
#define TABLE "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE INDEX ta ON t(a, b);"

/* What makes a database, besides page size and journal mode. */
static const struct {
    const char *name, *first, *sql;
    int reserved;
} kinds[] = {
    {"plain", "", TABLE ROWS(300), 0},
    {"without rowid", "",
     "CREATE TABLE t(a PRIMARY KEY, b) WITHOUT ROWID; CREATE INDEX tb ON t(b);" ROWS(300), 0},
    {"fts5", "",
     "CREATE VIRTUAL TABLE f USING fts5(x); CREATE TABLE t(a, b);" ROWS(
         100) "INSERT INTO f SELECT b FROM t;",
     0},
    {"rtree", "",
     "CREATE VIRTUAL TABLE r USING rtree(id, x0, x1); CREATE TABLE t(a, b);" ROWS(
         100) "INSERT INTO r SELECT a, a, a + 1 FROM t;",
     0},
    {"auto_vacuum full", "PRAGMA auto_vacuum = 1;", TABLE ROWS(300) "DELETE FROM t WHERE a > 200;",
     0},
    {"auto_vacuum incremental", "PRAGMA auto_vacuum = 2;",
     TABLE ROWS(300) "DELETE FROM t WHERE a > 200;", 0},
    {"free pages", "", TABLE ROWS(300) "DELETE FROM t WHERE a > 20;", 0},
    {"utf-16le", "PRAGMA encoding = 'utf-16le';", TABLE ROWS(300), 0},
    {"utf-16be", "PRAGMA encoding = 'utf-16be';", TABLE ROWS(300), 0},
    {"reserved bytes", "", TABLE ROWS(300), 32},
    {"one page", "", "PRAGMA user_version = 7;", 0},
};

static void make(const char *path, size_t kind, uint32_t page_size, const char *mode)
{
    char sql[4096];

    snprintf(sql, sizeof(sql), "PRAGMA page_size = %u; %s PRAGMA journal_mode = %s; %s", page_size,
             kinds[kind].first, mode, kinds[kind].sql);
    sample_sql_reserved(path, kinds[kind].reserved, sql);
}

static int is_wal(const char *path)
{
    return (int)sample_number(path, "SELECT journal_mode = 'wal' FROM pragma_journal_mode");
}

/*
 * Every kind into every other, on a live target: encodings, auto_vacuum, reserved bytes and lengths
 * change. All four pairs of journal modes and all page sizes take turns.
 */
static void test_kinds(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < COUNT(kinds) * COUNT(kinds); i++) {
        size_t from = i % COUNT(kinds), to = i / COUNT(kinds);
        uint32_t page_size = 512u << ((from + 3 * to) % 8);
        int from_wal = (from + to) & 1, to_wal = (from + to / 2) & 1;
        char *source = sample_path("source.db"), *target = sample_path("target.db");
        struct database *db;

        make(source, from, page_size, from_wal ? "wal" : "delete");
        make(target, to, page_size, to_wal ? "wal" : "delete");
        db = sample_open(target, DATABASE_WRITE, 2000);
        sample_carry(source, db);
        assert_int_equal(sample_carry(source, db), 0);
        database_free(db);
        sample_check_same(source, target);
        sample_check_integrity(target);
        assert_int_equal(is_wal(target), to_wal);
        assert_int_equal(is_wal(source), from_wal);
    }
}

/* What test_written_pages_are_read writes. */
#define MANY_PAGES 6000u /* of 4096 bytes: more than SQLite's cache holds */

static void make_content(uint32_t pgno, uint8_t *page)
{
    for (uint32_t i = 0; i < 4096; i += sizeof(pgno))
        memcpy(page + i, &pgno, sizeof(pgno));
}

/* Within a transaction a page reads as it was written, wherever it went meanwhile: SQLite's cache, the file, or what is to be written to that. */
static void test_written_pages_are_read(void **unused)
{
    static const char *const modes[] = {"delete", "wal"};
    uint8_t page[4096], wanted[4096];

    (void)unused;
    for (size_t i = 0; i < COUNT(modes); i++) {
        char *target = sample_path("target.db"), sql[200];
        struct database *db;

        snprintf(sql, sizeof(sql), "PRAGMA page_size = 4096; PRAGMA journal_mode = %s; CREATE TABLE t(a); INSERT INTO t VALUES(zeroblob(%u))",
                 modes[i], MANY_PAGES * 4096);
        sample_sql(target, sql);
        db = sample_open(target, DATABASE_WRITE, 2000);
        ok(database_begin_write(db, NULL, &failure));
        for (uint32_t pgno = 2; pgno <= MANY_PAGES; pgno++) {
            make_content(pgno, page);
            ok(database_write_page(db, pgno, page, 4096, &failure));
        }
        for (uint32_t pgno = 2; pgno <= MANY_PAGES; pgno++) {
            make_content(pgno, wanted);
            ok(database_read_page(db, pgno, page, &failure));
            assert_memory_equal(page, wanted, 4096);
        }
        database_end(db);
        database_free(db);
        sample_check_integrity(target);
    }
}

/* Each kind into a file of no bytes, which takes its page size, and stays without WAL. */
static void test_into_empty(void **unused)
{
    struct database_state state;

    (void)unused;
    for (size_t i = 0; i < COUNT(kinds) * 8; i++) {
        char *source = sample_path("source.db"), *target = sample_path("target.db");
        uint32_t page_size = 512u << (i % 8);
        struct database *db;

        make(source, i / 8, page_size, i & 1 ? "wal" : "delete");
        sample_write_file(target, "", 0);
        db = sample_open(target, DATABASE_WRITE, 2000);
        ok(database_begin_read(db, &state, &failure));
        assert_true(state.page_size == 0 && state.page_count == 0 && state.is_empty);
        database_end(db);
        sample_carry(source, db);
        /* The same connection goes on with what is there now. */
        ok(database_begin_write(db, &state, &failure));
        assert_int_equal(state.page_size, page_size);
        assert_int_equal(state.is_wal, 0);
        assert_int_equal(state.is_empty, strcmp(kinds[i / 8].name, "one page") == 0);
        database_free(db);
        sample_check_same(source, target);
        sample_check_integrity(target);
    }
}

/* A file of no bytes keeps none when nothing is written, or what was written is undone. */
static void test_empty_stays_empty(void **unused)
{
    char *source = sample_path("source.db"), *target = sample_path("target.db");
    struct database_state state;
    struct database *db;
    struct stat status;
    int written;

    (void)unused;
    make(source, 0, 8192, "wal");
    ok(database_open(&db, target, DATABASE_WRITE | DATABASE_CREATE, 2000, &failure));
    ok(database_begin_write(db, &state, &failure));
    assert_int_equal(state.page_count, 0);
    ok(database_commit(db, &failure));
    ok(database_begin_write(db, &state, &failure));
    ok(sample_write(source, db, &written));
    database_end(db);
    assert_int_equal(stat(target, &status), 0);
    assert_int_equal(status.st_size, 0);
    sample_carry(source, db);
    database_free(db);
    sample_check_same(source, target);
}

/* Up and down by one page and by many. */
static void test_growth_and_shrinkage(void **unused)
{
    static const int lengths[] = {1, 2, 3, 2, 1, 3000, 2999, 3000, 3001, 2, 3001};
    char *target;
    long size;

    (void)unused;
    for (int mode = 0; mode < 4; mode++) {
        struct database *db;

        target = sample_path("target.db");
        make(target, 10, 512, mode & 1 ? "wal" : "delete");
        if (mode & 2)
            sample_sql(target, "PRAGMA auto_vacuum = 1; VACUUM;");
        db = sample_open(target, DATABASE_WRITE, 2000);
        for (size_t i = 0; i < COUNT(lengths); i++) {
            char *source = sample_path("source.db"), sql[300];
            struct database_state state;

            /* One page for the schema, one for the table, and overflow pages of 508 bytes. */
            snprintf(sql, sizeof(sql),
                     lengths[i] == 1 ? "PRAGMA page_size = 512; PRAGMA user_version = 1;"
                                     : "PRAGMA page_size = 512; CREATE TABLE t(x); INSERT INTO t "
                                       "VALUES(randomblob(%d));",
                     lengths[i] == 2 ? 10 : 30 + (lengths[i] - 2) * 508);
            sample_sql(source, sql);
            assert_int_equal(sample_number(source, "PRAGMA page_count"), lengths[i]);
            sample_carry(source, db);
            ok(database_begin_read(db, &state, &failure));
            assert_int_equal(state.page_count, lengths[i]);
            database_end(db);
            if (!(mode & 1)) {
                struct stat status;

                assert_int_equal(stat(target, &status), 0);
                assert_int_equal(status.st_size, lengths[i] * 512);
            }
            sample_check_same(source, target);
            sample_check_integrity(target);
        }
        database_free(db);
        sample_sql(target, "PRAGMA journal_mode = delete;"); /* the WAL is in the file now */
        free(sample_read_file(target, &size));
        assert_int_equal(size, 3001 * 512);
    }
}

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/*
 * A database of a bit more or less than 1 GiB, a hole for the most part, which the header of its
 * free pages explains: page 16385 of 65536 bytes is the lock-byte page.
 */
static void make_huge(const char *path, uint32_t pages_before, int pages_after)
{
    uint8_t *trunk = calloc(1, 65536), header[8];
    char sql[200];
    FILE *file;

    sample_sql(path, "PRAGMA page_size = 65536; CREATE TABLE t(x);");
    assert_int_equal(truncate(path, (off_t)pages_before * 65536), 0);
    file = fopen(path, "r+b");
    put_u32(header, pages_before);
    fseek(file, 28, SEEK_SET);
    fwrite(header, 4, 1, file);
    fclose(file);
    snprintf(sql, sizeof(sql), "INSERT INTO t VALUES(randomblob(%d));",
             pages_after == 0 ? 10 : 100 + pages_after * 65532);
    sample_sql(path, sql);
    /* Page 3 becomes the trunk of a list of free pages that holds 4 and all that follow. */
    put_u32(trunk + 4, pages_before - 3);
    for (uint32_t i = 4; i <= pages_before; i++)
        put_u32(trunk + 8 + 4 * (i - 4), i);
    file = fopen(path, "r+b");
    fseek(file, 2 * 65536, SEEK_SET);
    fwrite(trunk, 65536, 1, file);
    put_u32(header, 3);
    put_u32(header + 4, pages_before - 2);
    fseek(file, 32, SEEK_SET);
    fwrite(header, 8, 1, file);
    fclose(file);
    free(trunk);
    sample_check_integrity(path);
}

static void test_lock_byte_page(void **unused)
{
    char *small = sample_path("small.db"), *large = sample_path("large.db");
    uint8_t *page = malloc(65536), zeros[64] = {0};
    struct page_index index = {0};
    struct database_state state;
    struct database *db;

    (void)unused;
    make_huge(small, 16383, 0);
    make_huge(large, 16383, 3);
    assert_int_equal(sample_number(large, "PRAGMA page_count"), 16383 + 3 + 1);
    db = sample_open(small, DATABASE_WRITE, 2000);
    assert_true(sample_carry(large, db) < 10);
    ok(database_begin_read(db, &state, &failure));
    assert_int_equal(state.page_count, 16387);
    sample_scan(db, &index);
    assert_memory_equal(&index.hashes[16384], zeros, sizeof(struct page_hash));
    assert_memory_not_equal(&index.hashes[16385], zeros, sizeof(struct page_hash));
    ok(database_read_page(db, 16385, page, &failure));
    assert_memory_equal(page, zeros, sizeof(zeros));
    database_end(db);
    sample_check_integrity(small);
    /* Back over the border; what the lock-byte page of the sender says, if it came, is passed over.
     */
    make_huge(large = sample_path("large.db"), 16383, 0);
    ok(database_begin_write(db, NULL, &failure));
    memset(page, 1, 65536);
    ok(database_write_page(db, 16385, page, 65536, &failure));
    database_end(db);
    sample_carry(large, db);
    database_free(db);
    assert_int_equal(sample_number(small, "PRAGMA page_count"), 16383);
    sample_check_integrity(small);
    page_index_release(&index);
    free(page);
}

/* Before 3.7.0 SQLite did not keep the page count in the header; then the file's length is what
 * counts. */
static void test_stale_page_count(void **unused)
{
    static const char *const modes[] = {"wal", "delete"};

    (void)unused;
    for (int i = 0; i < 2; i++) {
        char *source = sample_path("source.db"), *target = sample_path("target.db");
        struct database_state state;
        struct database *db;
        uint8_t *bytes;
        long size;

        make(source, 0, 1024, "delete");
        make(target, 1, 1024, modes[i]);
        bytes = sample_read_file(source, &size);
        put_u32(bytes + 28, 3);
        put_u32(bytes + 92, 0x1234567);
        sample_write_file(source, bytes, size);
        free(bytes);
        db = sample_open(target, DATABASE_WRITE, 2000);
        sample_carry(source, db);
        ok(database_begin_read(db, &state, &failure));
        assert_int_equal(state.page_count, size / 1024);
        database_free(db);
        sample_check_integrity(target);
        sample_check_same(source, target);
    }
}

/* A file that was deleted meanwhile is not made again by the connection that takes the page size of
 * the sender. */
static void test_deleted_meanwhile(void **unused)
{
    char *source = sample_path("source.db"), *target = sample_path("target.db");
    struct database *db;
    int written;

    (void)unused;
    make(source, 0, 8192, "delete");
    ok(database_open(&db, target, DATABASE_WRITE | DATABASE_CREATE, 2000, &failure));
    ok(database_begin_write(db, NULL, &failure));
    assert_int_equal(unlink(target), 0);
    assert_int_equal(sample_write(source, db, &written), ERR_NO_DATABASE);
    database_free(db);
    assert_int_not_equal(access(target, F_OK), 0);
}

static int stop_at(void *arg, uint32_t done)
{
    *(uint32_t *)arg = done;
    return done >= 8192;
}

static void test_scan_can_be_stopped(void **unused)
{
    char *path = sample_path("long.db");
    struct page_index index = {0};
    uint32_t done = 0;
    struct database *db;

    (void)unused;
    sample_sql(path, "PRAGMA page_size = 512; CREATE TABLE t(x); INSERT INTO t "
                     "VALUES(zeroblob(10000 * 512));");
    db = sample_open(path, 0, 2000);
    ok(database_begin_read(db, NULL, &failure));
    assert_int_equal(database_scan(db, sample_hasher(), &index, stop_at, &done, &failure),
                     ERR_TIMEOUT);
    assert_int_equal(done, 8192);
    assert_null(index.hashes);
    database_free(db);
}

/* Bytes that came over the wire and make no sense are refused, and leave the database as it was. */
static void test_refused_writes(void **unused)
{
    char *source = sample_path("source.db"), *target = sample_path("target.db");
    uint8_t *page = calloc(1, LIMIT_PAGE_SIZE_MAX), before[32], after[32];
    struct database_state state;
    struct database *db;
    uint32_t count;

    (void)unused;
    make(source, 0, 1024, "wal");
    make(target, 0, 1024, "wal");
    sample_root(target, before);
    db = sample_open(target, DATABASE_WRITE, 2000);
    ok(database_begin_write(db, &state, &failure));
    count = state.page_count;
    assert_int_equal(database_write_page(db, count + 2, page, 1024, &failure), ERR_PROTOCOL);
    assert_int_equal(database_write_page(db, 0, page, 1024, &failure), ERR_PROTOCOL);
    assert_int_equal(database_write_page(db, UINT32_MAX, page, 1024, &failure), ERR_PROTOCOL);
    assert_int_equal(database_write_page(db, 2, page, 2048, &failure), ERR_PAGE_SIZE);
    assert_int_equal(database_write_page(db, 2, page, 1000, &failure), ERR_PROTOCOL);
    assert_int_equal(database_write_page(db, 1, page, 1024, &failure), ERR_NOT_A_DATABASE);
    assert_int_equal(database_read_page(db, 0, page, &failure), ERR_PROTOCOL);
    assert_int_equal(database_read_page(db, count + 1, page, &failure), ERR_PROTOCOL);
    assert_int_equal(database_truncate(db, 0, &failure), ERR_PROTOCOL);
    assert_int_equal(database_truncate(db, count + 1, &failure), ERR_PROTOCOL);

    /* A length that page 1 does not speak of. */
    ok(database_write_page(db, count + 1, page, 1024, &failure));
    assert_int_equal(database_commit(db, &failure), ERR_NOT_A_DATABASE);
    ok(database_begin_write(db, NULL, &failure));
    ok(database_truncate(db, count - 1, &failure));
    assert_int_equal(database_write_page(db, count, page, 1024, &failure), ERR_PROTOCOL);
    assert_int_equal(database_commit(db, &failure), ERR_NOT_A_DATABASE);
    ok(database_begin_write(db, NULL, &failure));
    ok(database_read_page(db, 1, page, &failure));
    put_u32(page + 28, count + 1);
    ok(database_write_page(db, 1, page, 1024, &failure));
    assert_int_equal(database_commit(db, &failure), ERR_NOT_A_DATABASE);
    database_free(db);
    sample_root(target, after);
    assert_memory_equal(before, after, 32);
    sample_check_integrity(target);

    /* And into an empty file. */
    sample_write_file(target = sample_path("empty.db"), "", 0);
    db = sample_open(target, DATABASE_WRITE, 2000);
    ok(database_begin_write(db, NULL, &failure));
    assert_int_equal(database_write_page(db, 2, page, 1024, &failure), ERR_PROTOCOL);
    assert_int_equal(database_write_page(db, 1, page, 77, &failure), ERR_PROTOCOL);
    database_free(db);
    free(page);
}

static void test_changed_page_size(void **unused)
{
    struct database_state state;

    (void)unused;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        char *path = sample_path("sized.db");
        int64_t rows;
        struct database *db;

        make(path, i, 4096, i & 1 ? "wal" : "delete");
        rows = sample_number(path, "SELECT count(*) FROM sqlite_schema");
        db = sample_open(path, DATABASE_WRITE, 2000);
        for (uint32_t size = 512; size <= 65536; size *= 128) {
            ok(database_change_page_size(db, size, &failure));
            ok(database_begin_read(db, &state, &failure));
            assert_int_equal(state.page_size, size);
            assert_int_equal(state.is_wal, i & 1);
            database_end(db);
        }
        database_free(db);
        sample_check_integrity(path);
        assert_int_equal(sample_number(path, "SELECT count(*) FROM sqlite_schema"), rows);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_written_pages_are_read),
        cmocka_unit_test(test_into_empty),
        cmocka_unit_test(test_empty_stays_empty),
        cmocka_unit_test(test_growth_and_shrinkage),
        cmocka_unit_test(test_lock_byte_page),
        cmocka_unit_test(test_stale_page_count),
        cmocka_unit_test(test_deleted_meanwhile),
        cmocka_unit_test(test_scan_can_be_stopped),
        cmocka_unit_test(test_refused_writes),
        cmocka_unit_test(test_changed_page_size),
    };

    return cmocka_run_group_tests(tests, sample_setup, sample_teardown);
}
