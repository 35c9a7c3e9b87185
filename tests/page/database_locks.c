/* struct database among other programs that read, write, hold locks and die. */
#include "protocol/page/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "tests/page/sample.h"

#define ROWS(n, value)                                                                             \
    "CREATE TABLE t(a, b); CREATE INDEX ta ON t(a); WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL "  \
    "SELECT i + 1 FROM c WHERE i < " #n ") INSERT INTO t SELECT i, " value " FROM c;"

static const char *const modes[] = {"wal", "delete"};

static char *source, *target;

/* The target with 50 rows, the source with 500 others. */
static void make(const char *mode)
{
    char sql[500];

    source = sample_path("source.db");
    target = sample_path("target.db");
    sample_sql(source, ROWS(500, "'new' || hex(randomblob(50))"));
    snprintf(sql, sizeof(sql), "PRAGMA journal_mode = %s; %s", mode, ROWS(50, "'old'"));
    sample_sql(target, sql);
}

static int64_t ask(sqlite3 *handle, const char *sql)
{
    sqlite3_stmt *statement;
    int64_t value;

    assert_int_equal(sqlite3_prepare_v2(handle, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

/* A connection with a warm cache and a prepared statement sees the old content, then the new. */
static void test_live_readers_notice(void **unused)
{
    (void)unused;
    for (int i = 0; i < 2; i++) {
        sqlite3_stmt *warm;
        struct database *db;
        sqlite3 *reader;

        make(modes[i]);
        assert_int_equal(sqlite3_open(target, &reader), SQLITE_OK);
        assert_int_equal(
            sqlite3_prepare_v2(reader, "SELECT count(*), max(b) FROM t", -1, &warm, NULL),
            SQLITE_OK);
        assert_int_equal(sqlite3_step(warm), SQLITE_ROW);
        assert_int_equal(sqlite3_column_int(warm, 0), 50);
        sqlite3_reset(warm);
        db = sample_open(target, DATABASE_WRITE, 2000);
        sample_carry(source, db);
        assert_int_equal(sqlite3_step(warm), SQLITE_ROW);
        assert_int_equal(sqlite3_column_int(warm, 0), 500);
        assert_memory_equal(sqlite3_column_text(warm, 1), "new", 3);
        sqlite3_finalize(warm);
        assert_int_equal(ask(reader, "SELECT count(*) FROM pragma_integrity_check WHERE "
                                     "integrity_check = 'ok'"),
                         1);
        /* And the other way round: it writes, we notice. */
        assert_int_equal(sqlite3_exec(reader, "DELETE FROM t", NULL, NULL, NULL), SQLITE_OK);
        assert_true(sample_carry(source, db) > 0);
        assert_int_equal(ask(reader, "SELECT count(*) FROM t"), 500);
        database_free(db);
        sqlite3_close(reader);
        sample_check_same(source, target);
    }
}

/* In WAL mode a reader keeps its snapshot over our commit, and our own snapshot stays over that of
 * a writer. */
static void test_snapshots(void **unused)
{
    uint8_t page[65536], again[65536];
    struct database *db;
    sqlite3 *other;

    (void)unused;
    make("wal");
    db = sample_open(target, DATABASE_WRITE, 2000);
    assert_int_equal(sqlite3_open(target, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(ask(other, "SELECT count(*) FROM t"), 50);
    sample_carry(source, db);
    assert_int_equal(ask(other, "SELECT count(*) FROM t"), 50);
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);

    ok(database_begin_read(db, NULL, &failure));
    ok(database_read_page(db, 2, page, &failure));
    assert_int_equal(sqlite3_exec(other, "DELETE FROM t", NULL, NULL, NULL), SQLITE_OK);
    ok(database_read_page(db, 2, again, &failure));
    assert_memory_equal(page, again, 4096);
    database_end(db);
    ok(database_begin_read(db, NULL, &failure));
    ok(database_read_page(db, 2, again, &failure));
    assert_memory_not_equal(page, again, 4096);
    database_free(db);
    sqlite3_close(other);
}

static void test_busy_writer(void **unused)
{
    (void)unused;
    for (int i = 0; i < 2; i++) {
        struct sample_holder holder;
        struct database *db;

        make(modes[i]);
        db = sample_open(target, DATABASE_WRITE, 30);
        holder = sample_hold(target, "BEGIN IMMEDIATE; DELETE FROM t;");
        assert_int_equal(database_begin_write(db, NULL, &failure), ERR_BUSY);
        assert_non_null(strstr(failure.text, "--timeout"));
        assert_non_null(strstr(failure.text, target));
        ok(database_begin_read(db, NULL, &failure));
        database_end(db);
        sample_let_go(holder);
        sample_carry(source, db);
        database_free(db);
    }
}

static void test_busy_exclusive(void **unused)
{
    struct sample_holder holder;
    struct database *db;

    (void)unused;
    make("delete");
    db = sample_open(target, DATABASE_WRITE, 30);
    holder = sample_hold(target, "BEGIN EXCLUSIVE");
    assert_int_equal(database_begin_read(db, NULL, &failure), ERR_BUSY);
    assert_int_equal(database_begin_write(db, NULL, &failure), ERR_BUSY);
    sample_let_go(holder);
    ok(database_begin_read(db, NULL, &failure));
    database_free(db);
}

/* What is let go within the time-out is waited for. */
static void test_waits(void **unused)
{
    (void)unused;
    for (int i = 0; i < 4; i++) {
        struct sample_holder holder;
        struct database *db;

        make(modes[i & 1]);
        db = sample_open(target, DATABASE_WRITE, 60000);
        if (i >= 2) {
            ok(database_begin_read(db, NULL, &failure));
            database_end(db);
        }
        holder = sample_hold_for(target, "BEGIN EXCLUSIVE; DELETE FROM t;", 60);
        if (modes[i & 1][0] == 'd') {
            ok(database_begin_read(db, NULL, &failure));
            database_end(db);
        } else {
            ok(database_begin_write(db, NULL, &failure));
            database_end(db);
        }
        sample_let_go(holder);
        database_free(db);
    }
}

/* Without WAL a reader holds up the commit: first within the time-out, then beyond it, and then
 * nothing has changed. */
static void test_reader_holds_up_commit(void **unused)
{
    struct sample_holder holder;
    struct database *db;
    int written;

    (void)unused;
    make("delete");
    db = sample_open(target, DATABASE_WRITE, 30);
    holder = sample_hold(target, "BEGIN; SELECT * FROM t;");
    ok(database_begin_write(db, NULL, &failure));
    ok(sample_write(source, db, &written));
    assert_int_equal(database_commit(db, &failure), ERR_BUSY);
    assert_int_equal(sample_number(target, "SELECT count(*) FROM t"), 50);
    sample_let_go(holder);
    sample_check_integrity(target);
    database_free(db);

    db = sample_open(target, DATABASE_WRITE, 60000);
    holder = sample_hold_for(target, "BEGIN; SELECT * FROM t;", 60);
    sample_carry(source, db);
    sample_let_go(holder);
    database_free(db);
    sample_check_same(source, target);
}

/* More than the cache holds goes to the file before the commit; a reader is then waited for once,
 * not at each page. */
static void test_reader_holds_up_a_large_write(void **unused)
{
    struct sample_holder holder;
    struct database *db;
    int written;

    (void)unused;
    make("delete");
    sample_sql(source, "CREATE TABLE large(x); INSERT INTO large VALUES(zeroblob(18000000));");
    db = sample_open(target, DATABASE_WRITE, 30);
    holder = sample_hold(target, "BEGIN; SELECT * FROM t;");
    ok(database_begin_write(db, NULL, &failure));
    assert_int_equal(sample_write(source, db, &written), ERR_BUSY);
    assert_true(written > 2000);
    database_end(db);
    sample_let_go(holder);
    assert_int_equal(sample_number(target, "SELECT count(*) FROM t"), 50);
    sample_check_integrity(target);
    sample_carry(source, db);
    database_free(db);
    sample_check_same(source, target);
    sample_check_integrity(target);
}

/* A writer that died in the middle leaves a journal or a WAL that takes its change back. */
static void test_killed_writer(void **unused)
{
    (void)unused;
    for (int i = 0; i < 4; i++) {
        uint8_t before[32], after[32];
        struct database *db;

        make(modes[i & 1]);
        sample_root(target, before);
        db = sample_open(target, DATABASE_WRITE, 2000);
        if (i >= 2) {
            ok(database_begin_read(db, NULL, &failure));
            database_end(db);
        }
        sample_kill(sample_hold(target, "PRAGMA cache_size = 1; BEGIN; UPDATE t SET b = "
                                        "hex(randomblob(600));"));
        ok(database_begin_read(db, NULL, &failure));
        database_end(db);
        sample_root(target, after);
        assert_memory_equal(before, after, 32);
        sample_carry(source, db);
        database_free(db);
        sample_check_same(source, target);
        sample_check_integrity(target);
    }
}

static uint32_t version_now(struct database *db)
{
    uint32_t version;

    ok(database_begin_read(db, NULL, &failure));
    ok(database_data_version(db, &version, &failure));
    database_end(db);
    return version;
}

/* Every commit of another connection shows, our own does not, and neither does reading. */
static void test_data_version(void **unused)
{
    static const struct {
        const char *sql;
        int may_change, must_change;
    } steps[] = {
        {"SELECT * FROM t", 0, 0},
        {"UPDATE t SET b = 'x' WHERE a = 1", 1, 1},
        {"BEGIN; UPDATE t SET b = 'y' WHERE a = 1; ROLLBACK", 1, 0},
        {"UPDATE t SET b = 'y' WHERE a = 2", 1, 1},
        {"PRAGMA wal_checkpoint(PASSIVE)", 1, 0},
        {"UPDATE t SET b = 'z' WHERE a = 3", 1, 1},
        {"PRAGMA wal_checkpoint(RESTART)", 1, 0},
        {"UPDATE t SET b = 'z' WHERE a = 4", 1, 1},
        {"PRAGMA wal_checkpoint(TRUNCATE)", 1, 0},
        {"UPDATE t SET b = 'z' WHERE a = 5", 1, 1},
        {"VACUUM", 1, 1},
        {"PRAGMA user_version = 3", 1, 1},
        /* Two that undo each other: the content is the same, and it moved. */
        {"UPDATE t SET b = 'p' WHERE a = 5; UPDATE t SET b = 'z' WHERE a = 5", 1, 1},
    };

    (void)unused;
    for (int i = 0; i < 2; i++) {
        uint32_t before, after;
        struct database *db;

        make(modes[i]);
        db = sample_open(target, DATABASE_WRITE, 2000);
        before = version_now(db);
        for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
            sample_sql(target, steps[s].sql);
            after = version_now(db);
            if (steps[s].must_change && before == after)
                fail_msg("%s: missed: %s", modes[i], steps[s].sql);
            if (!steps[s].may_change && before != after)
                fail_msg("%s: false alarm: %s", modes[i], steps[s].sql);
            before = after;
            assert_int_equal(version_now(db), before);
        }
        sample_carry(source, db);
        assert_int_equal(version_now(db), before);
        database_free(db);
    }
}

/* The values of one object never repeat, though its connection may be made anew (here for another
 * encoding). */
static void test_data_version_over_reconnection(void **unused)
{
    struct database *db;
    uint32_t before;

    (void)unused;
    make("delete");
    db = sample_open(target, DATABASE_WRITE, 2000);
    before = version_now(db);
    for (uint32_t size = 8192; size <= 32768; size *= 2) {
        ok(database_change_page_size(db, size, &failure));
        assert_int_not_equal(version_now(db), before);
        before = version_now(db);
    }
    database_free(db);
    target = sample_path("target.db");

    sample_write_file(target, "", 0);
    db = sample_open(target, DATABASE_WRITE, 2000);
    before = version_now(db);
    sample_sql(target, "PRAGMA encoding = 'utf-16le'; CREATE TABLE t(x);");
    assert_int_not_equal(version_now(db), before);
    database_free(db);
}

/* A change of page size needs the database alone where it has a WAL; nothing of it stays when that
 * cannot be had. */
static void test_page_size_busy(void **unused)
{
    struct sample_holder holder;
    struct database_state state;
    struct database *db;

    (void)unused;
    for (int i = 0; i < 2; i++) {
        make(modes[i]);
        db = sample_open(target, DATABASE_WRITE, 30);
        holder = sample_hold(target, "BEGIN; SELECT * FROM t;");
        assert_int_equal(database_change_page_size(db, 16384, &failure), ERR_BUSY);
        ok(database_begin_read(db, &state, &failure));
        assert_int_equal(state.page_size, 4096);
        assert_int_equal(state.is_wal, i == 0);
        database_end(db);
        sample_let_go(holder);
        ok(database_change_page_size(db, 16384, &failure));
        database_free(db);
        sample_check_integrity(target);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live_readers_notice),
        cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_busy_writer),
        cmocka_unit_test(test_busy_exclusive),
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_reader_holds_up_commit),
        cmocka_unit_test(test_reader_holds_up_a_large_write),
        cmocka_unit_test(test_killed_writer),
        cmocka_unit_test(test_data_version),
        cmocka_unit_test(test_data_version_over_reconnection),
        cmocka_unit_test(test_page_size_busy),
    };

    return cmocka_run_group_tests(tests, sample_setup, sample_teardown);
}
