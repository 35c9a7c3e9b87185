/* Every page size, growth and shrinkage by any number of pages, either journal mode on either side,
 * in both directions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/limits.h"
#include "tests/page/sample.h"
#include "tests/sync/duet.h"

static const char *const modes[] = {"wal", "delete"};
static char *origin, *replica;

static int pages_of(const char *path)
{
    return (int)sample_number(path, "PRAGMA page_count");
}

/*
 * Bring a database with auto_vacuum = incremental to exactly so many pages: make it larger by a row
 * that is deleted again, cut the free pages to size, and use some of those that are left. (A page
 * of the pointer map is never the last: then it is one more or less.)
 */
static void set_pages(const char *path, int target)
{
    const int64_t page_size = sample_number(path, "PRAGMA page_size");
    const int64_t more = target - pages_of(path) + sample_number(path, "PRAGMA freelist_count") + 5;
    char sql[400];

    sample_sql(path, "DELETE FROM noise WHERE rowid > 1; UPDATE small SET b = b + 1;");
    if (target > pages_of(path)) {
        snprintf(sql, sizeof(sql),
                 "INSERT INTO noise VALUES(randomblob(%lld)); DELETE FROM noise WHERE rowid > 1;",
                 (long long)(more * page_size));
        sample_sql(path, sql);
    }
    while (pages_of(path) > target && sample_number(path, "PRAGMA freelist_count") > 0) {
        int before = pages_of(path);
        snprintf(sql, sizeof(sql), "PRAGMA incremental_vacuum(%d)", before - target);
        sample_sql(path, sql);
        assert_true(pages_of(path) < before);
    }
    snprintf(sql, sizeof(sql), "INSERT INTO noise VALUES(randomblob(%lld))",
             (long long)(page_size * sample_number(path, "PRAGMA freelist_count") / 2));
    sample_sql(path, sql);
}

static void make(int page_size, const char *mode)
{
    char sql[600];

    origin = duet_path("origin.db");
    replica = duet_path("replica.db");
    snprintf(sql, sizeof(sql),
             "PRAGMA page_size = %d; PRAGMA auto_vacuum = incremental; PRAGMA journal_mode = %s; "
             "CREATE TABLE noise(a);"
             "CREATE TABLE small(a INTEGER PRIMARY KEY, b); INSERT INTO small VALUES(1, 0), (2, 0);"
             "INSERT INTO noise VALUES(randomblob(%d));",
             page_size, mode, page_size * 2);
    sample_sql(origin, sql);
    assert_int_equal(sample_number(origin, "PRAGMA page_size"), page_size);
}

static void sync_and_check(enum duet_kind kind)
{
    duet_expect(duet_sync(kind, origin, replica, NULL), 0);
    duet_check_equal(origin, replica);
}

/* One page more, one less, to each side of what fits into a chunk of the stream, thousands, and
 * back. */
static void test_growth_and_shrinkage(void **unused)
{
    int seen_up = 0, seen_down = 0;

    (void)unused;
    for (int page_size = 512, round = 0; page_size <= 65536; page_size *= 2, round++) {
        const int chunk = (int)LIMIT_CHUNK / page_size;
        const int many = page_size <= 1024 ? 2500 : page_size <= 4096 ? 1100 : 80;
        const int steps[] = {11,
                             12,
                             11,
                             12 + chunk - 1,
                             12,
                             12 + chunk,
                             12,
                             12 + chunk + 1,
                             11 + 2 * chunk,
                             11 + 2 * chunk + 1,
                             many,
                             13,
                             many + 1,
                             many};
        const char *replica_mode = modes[round / 2 % 2];
        char sql[60];

        make(page_size, modes[round % 2]);
        sync_and_check(DUET_PULL);
        snprintf(sql, sizeof(sql), "PRAGMA journal_mode = %s", replica_mode);
        sample_sql(replica, sql);
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
            enum duet_kind kind = (i + (size_t)round) % 3 == 0 ? DUET_PUSH : DUET_PULL;
            char *sender = kind == DUET_PULL ? origin : replica;
            int before = pages_of(sender);
            int change;
            set_pages(sender, steps[i]);
            change = pages_of(sender) - before;
            seen_up += change == 1;
            seen_down += change == -1;
            sync_and_check(kind);
            /* Each keeps its journal mode. */
            assert_int_equal(
                sample_number(
                    replica, "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'"),
                replica_mode[0] == 'w');
            assert_int_equal(
                sample_number(
                    origin, "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'"),
                round % 2 == 0);
        }
    }
    assert_true(seen_up >= 8 && seen_down >= 8);
}

/* First copies of every page size and journal mode, of one page and of many. */
static void test_fresh_targets(void **unused)
{
    (void)unused;
    for (int page_size = 512, round = 0; page_size <= 65536; page_size *= 2, round++) {
        for (int i = 0; i < 4; i++) {
            const char *mode = modes[i % 2];
            char sql[200];
            make(page_size, mode);
            if (i / 2 == 0) {
                origin = duet_path("origin.db");
                snprintf(
                    sql, sizeof(sql),
                    "PRAGMA page_size = %d; PRAGMA journal_mode = %s; PRAGMA user_version = 7;",
                    page_size, mode);
                sample_sql(origin, sql);
                sample_sql(origin, "CREATE TABLE t(a); DROP TABLE t; VACUUM;");
            }
            sync_and_check(DUET_PULL);
            assert_int_equal(sample_number(replica, "PRAGMA page_size"), page_size);
            /* And from here to where nothing is yet. */
            origin = duet_path("second.db");
            sync_and_check(DUET_PUSH);
        }
    }
}

/* ---- page sizes that differ ---- */

static void fill(const char *path, int page_size, const char *mode, const char *value)
{
    char sql[400];

    snprintf(sql, sizeof(sql),
             "PRAGMA page_size = %d; VACUUM; PRAGMA journal_mode = %s; DELETE FROM t; WITH "
             "RECURSIVE c(i) AS (VALUES(1) UNION ALL "
             "SELECT i + 1 FROM c WHERE i < 200) INSERT INTO t SELECT i, '%s' || "
             "hex(randomblob(40)) FROM c;",
             page_size, mode, value);
    sample_sql(
        path,
        "PRAGMA journal_mode = delete; CREATE TABLE IF NOT EXISTS t(a INTEGER PRIMARY KEY, b)");
    sample_sql(path, sql);
    assert_int_equal(sample_number(path, "PRAGMA page_size"), page_size);
}

static void test_page_sizes_that_differ(void **unused)
{
    static const struct sync_options replace = {.replace = 1},
                                     replace_and_discard = {.replace = 1, .discard = 1};

    (void)unused;
    for (int i = 0; i < 8; i++) {
        const enum duet_kind kind = i % 2 ? DUET_PUSH : DUET_PULL;
        const int sizes[] = {i / 4 ? 512 : 16384, i / 4 ? 8192 : 1024};
        const char *mode = modes[i / 2 % 2];
        struct duet_outcome outcome;
        uint64_t contents[2];

        origin = duet_path("origin.db");
        replica = duet_path("replica.db");
        fill(origin, sizes[0], mode, "one");
        sync_and_check(DUET_PULL);
        fill(kind == DUET_PULL ? origin : replica, sizes[1], mode, "two");
        contents[0] = duet_content(origin);
        contents[1] = duet_content(replica);
        outcome = duet_sync(kind, origin, replica, NULL);
        duet_expect(outcome, ERR_PAGE_SIZE);
        assert_non_null(strstr(outcome.error.text, "--replace"));
        assert_true(duet_content(origin) == contents[0] && duet_content(replica) == contents[1]);
        duet_expect(duet_sync(kind, origin, replica, &replace), 0);
        duet_check_equal(origin, replica);
        assert_int_equal(sample_number(origin, "PRAGMA page_size"), sizes[1]);
        assert_int_equal(sample_number(replica, "PRAGMA page_size"), sizes[1]);
        /* Local changes are guarded all the same. */
        if (kind == DUET_PULL) {
            fill(origin, sizes[0], mode, "three");
            sample_sql(replica, "DELETE FROM t WHERE a = 5");
            contents[1] = duet_content(replica);
            duet_expect(duet_sync(kind, origin, replica, &replace), ERR_UNPUSHED);
            assert_true(duet_content(replica) == contents[1]);
            assert_int_equal(sample_number(replica, "PRAGMA page_size"), sizes[1]);
            duet_expect(duet_sync(kind, origin, replica, &replace_and_discard), 0);
            duet_check_equal(origin, replica);
        }
    }
}

/* The rebuild is through and the transfer is not: the content stands, and the same command goes on.
 */
static void test_page_sizes_that_differ_and_a_cut(void **unused)
{
    static const struct sync_options replace = {.replace = 1};

    (void)unused;
    for (int i = 0; i < 4; i++) {
        const enum duet_kind kind = i % 2 ? DUET_PUSH : DUET_PULL;
        struct duet_options options = {.kind = kind, .sync = replace, .is_cut = 1};
        struct duet duet;
        uint64_t content;

        origin = duet_path("origin.db");
        replica = duet_path("replica.db");
        fill(origin, 4096, modes[i / 2], "one");
        sync_and_check(DUET_PULL);
        content = duet_content(origin);
        fill(kind == DUET_PULL ? origin : replica, 1024, modes[i / 2], "two");
        options.origin = origin;
        options.replica = replica;
        options.cut_side = kind == DUET_PULL ? DUET_REPLICA : DUET_ORIGIN;
        options.cut = 2000;
        duet_start(&duet, &options);
        duet_expect(duet_finish(&duet), ERR_NO_LINK);
        assert_int_equal(sample_number(kind == DUET_PULL ? replica : origin, "PRAGMA page_size"),
                         1024);
        assert_true(duet_content(kind == DUET_PULL ? replica : origin) == content);
        duet_expect(duet_sync(kind, origin, replica, &replace), 0);
        duet_check_equal(origin, replica);
        assert_true(duet_content(origin) != content);
    }
}

/* Somebody commits at the origin around the rebuild: their change is not overwritten. */
static void test_page_sizes_that_differ_and_a_writer(void **unused)
{
    static const struct sync_options replace = {.replace = 1};

    (void)unused;
    for (int i = 0; i < 4; i++) {
        struct duet_options options = {.kind = DUET_PUSH, .sync = replace};
        struct duet_outcome outcome;
        struct duet duet;
        uint64_t content;

        origin = duet_path("origin.db");
        replica = duet_path("replica.db");
        fill(origin, 4096, modes[i % 2], "one");
        sync_and_check(DUET_PULL);
        fill(replica, 1024, modes[i % 2], "two");
        options.origin = origin;
        options.replica = replica;
        duet_start(&duet, &options);
        assert_true(duet_until(&duet, DUET_ORIGIN, MESSAGE_PUSH));
        if (i / 2) { /* the second PUSH: the file is rebuilt by then */
            assert_true(duet_until(&duet, DUET_REPLICA, MESSAGE_HELLO));
            assert_int_equal(sample_number(origin, "PRAGMA page_size"), 1024);
        }
        sample_sql(origin, "UPDATE t SET b = 'theirs' WHERE a = 3");
        content = duet_content(origin);
        outcome = duet_finish(&duet);
        if (outcome.code != ERR_MOVED)
            duet_expect(outcome, ERR_STALE_BASE);
        assert_true(duet_content(origin) == content);
        duet_expect(duet_sync(DUET_PUSH, origin, replica, &replace), ERR_STALE_BASE);
        assert_true(duet_content(origin) == content);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growth_and_shrinkage),
        cmocka_unit_test(test_fresh_targets),
        cmocka_unit_test(test_page_sizes_that_differ),
        cmocka_unit_test(test_page_sizes_that_differ_and_a_cut),
        cmocka_unit_test(test_page_sizes_that_differ_and_a_writer),
    };

    return cmocka_run_group_tests(tests, sample_setup, sample_teardown);
}
