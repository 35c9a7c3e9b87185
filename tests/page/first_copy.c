#include "protocol/page/first_copy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/base/log.h"
#include "protocol/page/database.h"
#include "tests/page/sample.h"

static struct page_hasher hasher;

#define MAKE_SOURCE                                                                                \
    "CREATE TABLE t(a, b); WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM c WHERE " \
    "i < 100) INSERT INTO t SELECT i, randomblob(500) FROM c;"

static char *source;

static int setup(void **state)
{
    if (sample_setup(state) != 0)
        return -1;
    log_setup(LOG_ERROR, NULL, 0);
    page_hasher_init(&hasher, (const uint8_t *)"0123456789abcdef0123456789abcdef");
    source = strdup(sample_path("source.db"));
    sample_sql(source, "PRAGMA journal_mode = wal;" MAKE_SOURCE);
    return 0;
}

static int teardown(void **state)
{
    free(source);
    return sample_teardown(state);
}

/* Write the source's pages from first on that the partial lacks, at most `most` of them. Returns
 * the page count. */
static uint32_t write_pages(struct first_copy *copy, const char *from, uint32_t most)
{
    struct page_index theirs = {0}, ours = {0};
    struct database_state state;
    struct database *db;
    uint8_t *page = malloc(LIMIT_PAGE_SIZE_MAX);

    ok(database_open(&db, from, 0, 2000, &failure));
    ok(database_begin_read(db, &state, &failure));
    ok(database_scan(db, &hasher, &theirs, NULL, NULL, &failure));
    ok(first_copy_scan(copy, &hasher, &ours, &failure));
    for (uint32_t i = 0; i < state.page_count && most > 0; i++) {
        if (ours.page_size == state.page_size && i < ours.page_count &&
            memcmp(&ours.hashes[i], &theirs.hashes[i], 16) == 0)
            continue;
        ok(database_read_page(db, i + 1, page, &failure));
        ok(first_copy_write_page(copy, i + 1, page, state.page_size, &failure));
        most--;
    }
    page_index_release(&theirs);
    page_index_release(&ours);
    database_free(db);
    free(page);
    return state.page_count;
}

static void root_of(const char *path, uint8_t root[PAGE_ROOT_SIZE])
{
    struct page_index index = {0};
    struct database *db;

    ok(database_open(&db, path, 0, 2000, &failure));
    ok(database_begin_read(db, NULL, &failure));
    ok(database_scan(db, &hasher, &index, NULL, NULL, &failure));
    page_index_root(&index, root);
    page_index_release(&index);
    database_free(db);
}

static void assert_is_source(const char *target)
{
    uint8_t roots[2][PAGE_ROOT_SIZE];
    char partial[300];

    root_of(source, roots[0]);
    root_of(target, roots[1]);
    assert_memory_equal(roots[0], roots[1], PAGE_ROOT_SIZE);
    sample_check_integrity(target);
    assert_int_equal(sample_number(target, "SELECT count(*) FROM t"), 100);
    snprintf(partial, sizeof(partial), "%s.lockstep-partial", target);
    assert_int_not_equal(access(partial, F_OK), 0);
}

static void test_missing_target(void **unused)
{
    struct first_copy *copy;
    struct stat status;
    char *target = sample_path("a ? 'target' %41.db");
    mode_t old = umask(027);

    (void)unused;
    ok(first_copy_open(&copy, target, &failure));
    ok(first_copy_finish(copy, write_pages(copy, source, UINT32_MAX), &failure));
    first_copy_free(copy);
    umask(old);
    assert_is_source(target);
    stat(target, &status);
    assert_int_equal(status.st_mode & 07777, 0640);
    assert_int_equal(sample_number(target, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"),
                     1);
}

static void test_empty_target_keeps_its_permissions(void **unused)
{
    struct first_copy *copy;
    struct stat status;
    char *target = sample_path("empty.db");

    (void)unused;
    sample_write_file(target, "", 0);
    chmod(target, 0604);
    ok(first_copy_open(&copy, target, &failure));
    ok(first_copy_finish(copy, write_pages(copy, source, UINT32_MAX), &failure));
    first_copy_free(copy);
    assert_is_source(target);
    stat(target, &status);
    assert_int_equal(status.st_mode & 07777, 0604);
}

static void test_empty_target_through_a_link(void **unused)
{
    struct first_copy *copy;
    struct stat status;
    char *target = sample_path("behind.db"), *link = sample_path("link.db");

    (void)unused;
    sample_write_file(target, "", 0);
    assert_int_equal(symlink(target, link), 0);
    ok(first_copy_open(&copy, link, &failure));
    ok(first_copy_finish(copy, write_pages(copy, source, UINT32_MAX), &failure));
    first_copy_free(copy);
    assert_is_source(target);
    lstat(link, &status);
    assert_true(S_ISLNK(status.st_mode));
    assert_int_equal(unlink(target), 0);
    assert_int_equal(first_copy_open(&copy, link, &failure), ERR_NOT_ALLOWED);
}

/* A partial is gone on with; damaged pages in it are found by their hashes; what is too long is
 * cut. */
static void test_resumes(void **unused)
{
    struct first_copy *copy;
    struct page_index index = {0};
    char *target = sample_path("resumed.db"), partial[300];
    uint8_t *bytes;
    uint32_t count;
    long size;

    (void)unused;
    snprintf(partial, sizeof(partial), "%s.lockstep-partial", target);
    ok(first_copy_open(&copy, target, &failure));
    count = write_pages(copy, source, 7);
    assert_true(count > 8);
    first_copy_free(copy);

    bytes = sample_read_file(partial, &size);
    assert_int_equal(size, 7 * 4096);
    bytes[3 * 4096 + 5] ^= 1;
    sample_write_file(partial, bytes, size - 1000);
    free(bytes);
    ok(first_copy_open(&copy, target, &failure));
    ok(first_copy_scan(copy, &hasher, &index, &failure));
    assert_int_equal(index.page_count, 6);
    write_pages(copy, source, 1);
    first_copy_free(copy);
    page_index_release(&index);

    assert_int_equal(truncate(partial, 100 * 4096), 0);
    ok(first_copy_open(&copy, target, &failure));
    ok(first_copy_finish(copy, write_pages(copy, source, UINT32_MAX), &failure));
    first_copy_free(copy);
    free(sample_read_file(target, &size));
    assert_int_equal(size, count * 4096);
    assert_is_source(target);
}

static void test_partial_of_another_page_size(void **unused)
{
    char *target = sample_path("sized.db"), *small = sample_path("small.db");
    struct first_copy *copy;

    (void)unused;
    sample_sql(small, "PRAGMA page_size = 512;" MAKE_SOURCE);
    ok(first_copy_open(&copy, target, &failure));
    write_pages(copy, small, UINT32_MAX);
    first_copy_free(copy);
    ok(first_copy_open(&copy, target, &failure));
    ok(first_copy_finish(copy, write_pages(copy, source, UINT32_MAX), &failure));
    first_copy_free(copy);
    assert_is_source(target);
}

static void test_partial_of_garbage(void **unused)
{
    char *target = sample_path("garbage.db"), partial[300];
    struct page_index index = {0};
    struct first_copy *copy;

    (void)unused;
    snprintf(partial, sizeof(partial), "%s.lockstep-partial", target);
    sample_write_file(partial, "SQLite format 3\0\0\1", 18);
    ok(first_copy_open(&copy, target, &failure));
    ok(first_copy_scan(copy, &hasher, &index, &failure));
    assert_int_equal(index.page_count, 0);
    ok(first_copy_finish(copy, write_pages(copy, source, UINT32_MAX), &failure));
    first_copy_free(copy);
    assert_is_source(target);
}

/* The -wal and -journal of a deleted database would be replayed into the copy. */
static void test_leftovers_of_a_deleted_database(void **unused)
{
    static const char *const modes[] = {"wal", "delete"};

    (void)unused;
    for (int i = 0; i < 2; i++) {
        char *target = sample_path("deleted.db"), sql[500];
        struct first_copy *copy;

        /* Dies with content in the WAL, or with a journal that is hot. */
        snprintf(sql, sizeof(sql),
                 "PRAGMA journal_mode = %s; PRAGMA cache_size = 1; %s BEGIN; UPDATE t SET b = "
                 "randomblob(500);",
                 modes[i], MAKE_SOURCE);
        sample_kill(sample_hold(target, sql));
        assert_int_equal(unlink(target), 0);
        snprintf(sql, sizeof(sql), "%s-%s", target, i == 0 ? "wal" : "journal");
        assert_int_equal(access(sql, F_OK), 0);
        ok(first_copy_open(&copy, target, &failure));
        ok(first_copy_finish(copy, write_pages(copy, source, UINT32_MAX), &failure));
        first_copy_free(copy);
        assert_is_source(target);
        strcat(sql, ".lockstep-stale");
        assert_int_equal(access(sql, F_OK), 0);
    }
}

static void test_deleted_database_still_open(void **unused)
{
    char *target = sample_path("zombie.db");
    struct first_copy *copy;
    struct sample_holder holder;
    uint32_t count;

    (void)unused;
    holder = sample_hold(target, "PRAGMA journal_mode = wal; CREATE TABLE x(y);");
    assert_int_equal(unlink(target), 0);
    ok(first_copy_open(&copy, target, &failure));
    count = write_pages(copy, source, UINT32_MAX);
    assert_int_equal(first_copy_finish(copy, count, &failure), ERR_BUSY);
    assert_int_not_equal(access(target, F_OK), 0);
    sample_let_go(holder);
    ok(first_copy_finish(copy, count, &failure));
    first_copy_free(copy);
    assert_is_source(target);
}

static void test_empty_target_locked(void **unused)
{
    char *target = sample_path("locked.db");
    struct first_copy *copy;
    struct sample_holder holder;
    uint32_t count;

    (void)unused;
    sample_write_file(target, "", 0);
    holder = sample_hold(target, "BEGIN IMMEDIATE");
    ok(first_copy_open(&copy, target, &failure));
    count = write_pages(copy, source, UINT32_MAX);
    assert_int_equal(first_copy_finish(copy, count, &failure), ERR_BUSY);
    sample_let_go(holder);
    ok(first_copy_finish(copy, count, &failure));
    first_copy_free(copy);
    assert_is_source(target);
}

static void test_two_at_once(void **unused)
{
    char *target = sample_path("two.db"), partial[300];
    struct first_copy *first, *second;

    (void)unused;
    snprintf(partial, sizeof(partial), "%s.lockstep-partial", target);
    ok(first_copy_open(&first, target, &failure));
    assert_int_equal(first_copy_open(&second, target, &failure), ERR_BUSY);
    assert_int_equal(access(partial, F_OK), 0);
    first_copy_free(first);
    assert_int_not_equal(access(partial, F_OK), 0);
    ok(first_copy_open(&second, target, &failure));
    first_copy_free(second);
}

/* A database that came to be there, before or after the start, stays. */
static void test_target_that_is_there(void **unused)
{
    char *target = sample_path("there.db");
    struct first_copy *copy;
    uint32_t count;

    (void)unused;
    ok(first_copy_open(&copy, target, &failure));
    count = write_pages(copy, source, UINT32_MAX);
    sample_sql(target, "CREATE TABLE mine(x); INSERT INTO mine VALUES(42);");
    assert_int_equal(first_copy_finish(copy, count, &failure), ERR_MOVED);
    first_copy_free(copy);
    assert_int_equal(sample_number(target, "SELECT x FROM mine"), 42);
    assert_int_equal(first_copy_open(&copy, target, &failure), ERR_MOVED);
    assert_null(copy);
}

static void test_refusals(void **unused)
{
    char *target = sample_path("refused.db");
    uint8_t *page = calloc(1, LIMIT_PAGE_SIZE_MAX);
    struct first_copy *copy;
    uint32_t count;

    (void)unused;
    assert_int_equal(first_copy_open(&copy, "/nonexistent/x.db", &failure), ERR_NO_DATABASE);
    assert_int_equal(first_copy_open(&copy, "/tmp", &failure), ERR_NOT_A_DATABASE);
    assert_int_equal(first_copy_open(&copy, "/tmp/nonexistent/", &failure), ERR_NOT_A_DATABASE);
    ok(first_copy_open(&copy, target, &failure));
    assert_int_equal(first_copy_finish(copy, 1, &failure), ERR_PROTOCOL);
    assert_int_equal(first_copy_read_page(copy, 1, page, &failure), ERR_PROTOCOL);
    assert_int_equal(first_copy_write_page(copy, 2, page, 4096, &failure), ERR_PROTOCOL);
    assert_int_equal(first_copy_write_page(copy, 1, page, 1000, &failure), ERR_PROTOCOL);
    assert_int_equal(first_copy_write_page(copy, 1, page, 131072, &failure), ERR_PROTOCOL);
    ok(first_copy_write_page(copy, 1, page, 4096, &failure));
    assert_int_equal(first_copy_write_page(copy, 0, page, 4096, &failure), ERR_PROTOCOL);
    assert_int_equal(first_copy_finish(copy, 1, &failure), ERR_NOT_A_DATABASE);
    count = write_pages(copy, source, UINT32_MAX);
    assert_int_equal(first_copy_finish(copy, count - 1, &failure), ERR_NOT_A_DATABASE);
    assert_int_equal(first_copy_finish(copy, count + 1, &failure), ERR_PROTOCOL);
    ok(first_copy_finish(copy, count, &failure));
    first_copy_free(copy);
    assert_is_source(target);
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_target),
        cmocka_unit_test(test_empty_target_keeps_its_permissions),
        cmocka_unit_test(test_empty_target_through_a_link),
        cmocka_unit_test(test_resumes),
        cmocka_unit_test(test_partial_of_another_page_size),
        cmocka_unit_test(test_partial_of_garbage),
        cmocka_unit_test(test_leftovers_of_a_deleted_database),
        cmocka_unit_test(test_deleted_database_still_open),
        cmocka_unit_test(test_empty_target_locked),
        cmocka_unit_test(test_two_at_once),
        cmocka_unit_test(test_target_that_is_there),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
