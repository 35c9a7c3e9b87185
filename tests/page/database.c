/* The pages of one database carried into another through struct database, over all that a database
 * can be. */
#include "protocol/page/database.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "tests/page/sample.h"

static struct error error;
static struct page_hasher hasher;

/* Fails the test with the error's text. */
#define ok(call)                                                                                   \
    do {                                                                                           \
        int ok_rc = (call);                                                                        \
        if (ok_rc != 0)                                                                            \
            fail_msg("%s: %s: %s", #call, error_name(ok_rc), error.text);                          \
    } while (0)

static struct database *open_writable(const char *path)
{
    struct database *db;

    ok(database_open(&db, path, DATABASE_WRITE, 2000, &error));
    return db;
}

/* Root and digest of what a fresh connection sees. */
static void fingerprint(const char *path, uint8_t root[PAGE_ROOT_SIZE], uint8_t digest[32])
{
    struct page_index index = {0};
    struct database_state state;
    struct database *db;

    ok(database_open(&db, path, 0, 2000, &error));
    ok(database_begin_read(db, &state, &error));
    ok(database_scan(db, &hasher, &index, NULL, NULL, &error));
    assert_int_equal(index.page_count, state.page_count);
    page_index_root(&index, root);
    ok(database_digest(db, digest, &error));
    page_index_release(&index);
    database_free(db);
}

static void assert_same_content(const char *a, const char *b)
{
    uint8_t roots[2][PAGE_ROOT_SIZE], digests[2][32];

    fingerprint(a, roots[0], digests[0]);
    fingerprint(b, roots[1], digests[1]);
    assert_memory_equal(roots[0], roots[1], PAGE_ROOT_SIZE);
    assert_memory_equal(digests[0], digests[1], 32);
}

/* Make target what source is, writing the pages that differ. Returns how many those are. */
static int carry(const char *source_path, struct database *target)
{
    struct page_index theirs = {0}, ours = {0};
    struct database_state state;
    struct database *source;
    uint8_t *page = malloc(LIMIT_PAGE_SIZE_MAX);
    int written = 0;

    ok(database_open(&source, source_path, 0, 2000, &error));
    ok(database_begin_read(source, &state, &error));
    ok(database_scan(source, &hasher, &theirs, NULL, NULL, &error));
    ok(database_begin_write(target, NULL, &error));
    ok(database_scan(target, &hasher, &ours, NULL, NULL, &error));
    for (uint32_t i = 0; i < theirs.page_count; i++) {
        if (i < ours.page_count && memcmp(&ours.hashes[i], &theirs.hashes[i], 16) == 0)
            continue;
        ok(database_read_page(source, i + 1, page, &error));
        ok(database_write_page(target, i + 1, page, theirs.page_size, &error));
        written++;
    }
    ok(database_truncate(target, theirs.page_count, &error));
    ok(database_commit(target, &error));
    page_index_release(&theirs);
    page_index_release(&ours);
    database_free(source);
    free(page);
    return written;
}

#define ROWS(n)                                                                                    \
    "WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM c WHERE i < " #n                \
    ") INSERT INTO t(a, b) SELECT i, hex(randomblob(i % 300)) FROM c;"
#define TABLE "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE INDEX ta ON t(a, b);"

/* What makes the source, besides page size and journal mode. */
static const struct {
    const char *name, *first, *sql;
} kinds[] = {
    {"plain", "", TABLE ROWS(300)},
    {"without rowid", "",
     "CREATE TABLE t(a PRIMARY KEY, b) WITHOUT ROWID; CREATE INDEX tb ON t(b);" ROWS(300)},
    {"fts5", "",
     "CREATE VIRTUAL TABLE f USING fts5(x); CREATE TABLE t(a, b);" ROWS(
         100) "INSERT INTO f SELECT b FROM t;"},
    {"rtree", "",
     "CREATE VIRTUAL TABLE r USING rtree(id, x0, x1); CREATE TABLE t(a, b);" ROWS(
         100) "INSERT INTO r SELECT a, a, a + 1 FROM t;"},
    {"auto_vacuum full", "PRAGMA auto_vacuum = 1;", TABLE ROWS(300) "DELETE FROM t WHERE a > 200;"},
    {"auto_vacuum incremental", "PRAGMA auto_vacuum = 2;",
     TABLE ROWS(300) "DELETE FROM t WHERE a > 200;"},
    {"free pages", "", TABLE ROWS(300) "DELETE FROM t WHERE a % 3 > 0;"},
    {"utf-16le", "PRAGMA encoding = 'utf-16le';", TABLE ROWS(300)},
    {"utf-16be", "PRAGMA encoding = 'utf-16be';", TABLE ROWS(300)},
    {"one page", "", "PRAGMA user_version = 7;"},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Every kind into every other, so that encodings, auto_vacuum and lengths change under a live
 * target. */
static void test_kinds(void **unused)
{
    static const uint32_t sizes[] = {512, 1024, 4096, 65536};
    char sql[4096], *source, *target;
    uint32_t page_size;

    (void)unused;
    for (size_t i = 0; i < COUNT(kinds) * COUNT(kinds) * 4; i++) {
        size_t from = i / 4 % COUNT(kinds), to = i / 4 / COUNT(kinds);
        const char *from_mode = i & 1 ? "wal" : "delete", *to_mode = i & 2 ? "wal" : "delete";
        struct database *db;

        if ((to + COUNT(kinds) - from) % COUNT(kinds) > 3 && to != 0)
            continue;
        page_size = sizes[(from + to) % COUNT(sizes)];
        source = sample_path("source.db");
        target = sample_path("target.db");
        snprintf(sql, sizeof(sql), "PRAGMA page_size = %u; %s PRAGMA journal_mode = %s; %s",
                 page_size, kinds[from].first, from_mode, kinds[from].sql);
        sample_sql(source, sql);
        snprintf(sql, sizeof(sql), "PRAGMA page_size = %u; %s PRAGMA journal_mode = %s; %s",
                 page_size, kinds[to].first, to_mode, kinds[to].sql);
        sample_sql(target, sql);
        db = open_writable(target);
        carry(source, db);
        assert_int_equal(carry(source, db), 0);
        database_free(db);
        assert_same_content(source, target);
        sample_check_integrity(target);
        assert_int_equal(sample_number(target, "SELECT journal_mode = 'wal' FROM "
                                               "pragma_journal_mode"),
                         i & 2 ? 1 : 0);
    }
}

static int setup(void **unused)
{
    (void)unused;
    sample_init();
    page_hasher_init(&hasher, (const uint8_t *)"0123456789abcdef0123456789abcdef");
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    sample_release();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
