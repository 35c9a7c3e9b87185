/* The page-version log: what is kept of the pages that pushes replace, what is dropped, and that
 * damage costs nothing else. */
#include "protocol/sync/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/page/fake_pages.h"
#include "tests/page/sample.h"

#define PLENTY (1u << 30)
/* More than one pack at any page size. */
#define PAGES 300u

static char *path, *file;

static struct history *attach(uint64_t max_bytes)
{
    struct history *history;

    ok(history_open(&history, path, max_bytes, &failure));
    return history;
}

/* What page pgno held in that version: it compresses to about a third. */
static const uint8_t *page_of(uint64_t version, uint32_t pgno, uint32_t page_size)
{
    static uint8_t page[65536];
    uint32_t x = (uint32_t)version * 7919 + pgno;

    for (uint32_t i = 0; i < page_size; i++)
        page[i] = i % 3 == 0 ? (uint8_t)((x = fake_random(x)) >> 8) : 'a';
    return page;
}

static uint64_t hash_of(uint64_t version, uint32_t pgno)
{
    return version << 32 | pgno;
}

/* The page of that version is replaced by the one of the next, which has no more in common with it
 * than any page. */
static void add(struct history *history, uint64_t version, uint32_t pgno, uint32_t page_size)
{
    static uint8_t next[65536];
    const struct page_version after = {next, hash_of(version + 1, pgno)};
    struct page_version before = {NULL, hash_of(version, pgno)};

    memcpy(next, page_of(version + 1, pgno, page_size), page_size);
    before.page = page_of(version, pgno, page_size);
    history_add(history, pgno, &before, &after);
}

static void begin(struct history *history, uint64_t version, uint32_t first, uint32_t count,
                  uint32_t page_size)
{
    history_begin(history, version, page_size);
    for (uint32_t pgno = first; pgno < first + count; pgno++)
        add(history, version, pgno, page_size);
}

/* A process of its own takes a push that replaces these pages. */
static void keep(uint64_t max_bytes, uint64_t version, uint32_t first, uint32_t count,
                 uint32_t page_size)
{
    struct history *history = attach(max_bytes);

    begin(history, version, first, count, page_size);
    history_end(history);
    history_free(history);
}

/* How many of the pages that the version replaced a process of its own finds, in descending order
 * as well. */
static uint32_t found(uint64_t version, uint32_t first, uint32_t count, uint32_t page_size)
{
    struct history *history = attach(PLENTY);
    uint8_t *page = malloc(page_size);
    uint32_t counts[2] = {0, 0};

    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < count; i++) {
            uint32_t pgno = first + (pass == 0 ? i : count - 1 - i);
            if (!history_find(history, pgno, hash_of(version, pgno), NULL, page_size, page))
                continue;
            counts[pass]++;
            assert_memory_equal(page, page_of(version, pgno, page_size), page_size);
        }
    }
    assert_int_equal(counts[0], counts[1]);
    free(page);
    history_free(history);
    return counts[0];
}

static int exists(void)
{
    return access(file, F_OK) == 0;
}

static long kept_bytes(void)
{
    return (long)sample_number(file, "SELECT coalesce(sum(length(data)), 0) FROM pack");
}

static void test_round_trips(void **unused)
{
    static const uint32_t sizes[] = {512, 1024, 4096, 32768, 65536};

    (void)unused;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        unlink(file);
        assert_int_equal(found(2, 1, PAGES, sizes[i]), 0);
        assert_false(exists());
        keep(PLENTY, 2, 1, PAGES, sizes[i]);
        /* The same pages, of another version; they are kept side by side. */
        keep(PLENTY, 3, 1, PAGES / 2, sizes[i]);
        assert_int_equal(found(2, 1, PAGES, sizes[i]), PAGES);
        assert_int_equal(found(3, 1, PAGES, sizes[i]), PAGES / 2);
        assert_int_equal(found(4, 1, PAGES, sizes[i]), 0);
        /* Nothing of it is of use once the pages have another size. */
        assert_int_equal(found(2, 1, PAGES, sizes[i] == 512 ? 1024 : 512), 0);
    }
}

/* What version `version` of page 7 holds where every version changes ten bytes of the one before.
 */
static const uint8_t *slowly_changed(uint64_t version)
{
    static uint8_t page[4096];

    memcpy(page, page_of(1, 7, sizeof(page)), sizeof(page));
    for (uint64_t v = 2; v <= version; v++)
        memset(page + v % 50 * 16, (int)v, 10);
    return page;
}

/* Pushes replace versions first to last - 1 of page 7, each by the next. */
static void change_slowly(uint64_t first, uint64_t last)
{
    for (uint64_t version = first; version < last; version++) {
        struct history *history = attach(PLENTY);
        struct page_version before = {NULL, hash_of(version, 7)};
        uint8_t next[4096];
        const struct page_version after = {next, hash_of(version + 1, 7)};

        memcpy(next, slowly_changed(version + 1), sizeof(next));
        before.page = slowly_changed(version);
        history_begin(history, version, sizeof(next));
        history_add(history, 7, &before, &after);
        history_end(history);
        history_free(history);
    }
}

/* Whether version `wanted` of page 7 is found where the database has `now`, 0 for none. */
static int finds(uint64_t wanted, uint64_t now)
{
    struct history *history = attach(PLENTY);
    uint8_t page[4096], present[4096];
    const struct page_version version = {present, hash_of(now, 7)};
    int found;

    memcpy(present, slowly_changed(now), sizeof(present));
    found = history_find(history, 7, hash_of(wanted, 7), now != 0 ? &version : NULL, 4096, page);
    if (found)
        assert_memory_equal(page, slowly_changed(wanted), sizeof(page));
    history_free(history);
    return found;
}

/* Of pages that change little the differences are kept, which take little room, and lead back from
 * the present one. */
static void test_differences(void **unused)
{
    (void)unused;
    change_slowly(2, 12);
    assert_in_range(kept_bytes(), 1, 10 * 300);
    for (uint64_t version = 2; version < 12; version++)
        assert_true(finds(version, 12));
    assert_false(finds(1, 12));
    assert_false(finds(12, 12));
    /* The present page is another one than the last push left: another program wrote it. */
    assert_false(finds(11, 13));
    assert_false(finds(2, 0));
    /* From the middle it leads back from there, as where the database was put back. */
    assert_true(finds(2, 8));
    assert_true(finds(9, 8) == 0);
}

/* A page that comes back to what it was, and changes again: the way back is the newest. */
static void test_a_page_that_comes_back(void **unused)
{
    struct history *history;
    uint8_t pages[3][4096];

    (void)unused;
    for (int i = 0; i < 3; i++)
        memcpy(pages[i], slowly_changed(2 + (uint64_t)i), 4096);
    history = attach(PLENTY);
    for (int push = 0; push < 3; push++) {
        static const int from[] = {0, 1, 0}, to[] = {1, 0, 2};
        const struct page_version before = {pages[from[push]],
                                            hash_of(2 + (uint64_t)from[push], 7)};
        const struct page_version after = {pages[to[push]], hash_of(2 + (uint64_t)to[push], 7)};
        history_begin(history, 2 + (uint64_t)push, 4096);
        history_add(history, 7, &before, &after);
        history_end(history);
    }
    history_free(history);
    assert_true(finds(2, 4));
    assert_true(finds(3, 4));
}

/* More changes than a pull follows: the latest are found. */
static void test_a_long_chain(void **unused)
{
    (void)unused;
    change_slowly(2, 60);
    assert_true(finds(59, 60));
    assert_true(finds(28, 60));
    assert_false(finds(27, 60));
    assert_false(finds(2, 60));
}

/* A number and a hash are both needed. */
static void test_other_keys(void **unused)
{
    struct history *history;
    uint8_t page[4096];

    (void)unused;
    keep(PLENTY, 2, 10, 5, 4096);
    history = attach(PLENTY);
    assert_true(history_find(history, 10, hash_of(2, 10), NULL, 4096, page));
    assert_false(history_find(history, 11, hash_of(2, 10), NULL, 4096, page));
    assert_false(history_find(history, 10, hash_of(2, 10) + 1, NULL, 4096, page));
    assert_false(history_find(history, 9, hash_of(2, 9), NULL, 4096, page));
    assert_false(history_find(history, 0, 0, NULL, 4096, page));
    /* It was loaded for one page size. */
    assert_false(history_find(history, 10, hash_of(2, 10), NULL, 512, page));
    history_free(history);
}

static void test_a_push_that_is_not_ended_leaves_nothing(void **unused)
{
    struct history *history;

    (void)unused;
    keep(PLENTY, 2, 1, PAGES, 4096);
    history = attach(PLENTY);
    begin(history, 3, 1, PAGES, 4096);
    history_free(history);
    /* Begun twice, as by a session whose first attempt failed: the second counts. */
    history = attach(PLENTY);
    begin(history, 3, 1, PAGES, 4096);
    begin(history, 4, 1, PAGES, 4096);
    history_end(history);
    history_end(history);
    history_free(history);
    assert_int_equal(found(2, 1, PAGES, 4096), PAGES);
    assert_int_equal(found(3, 1, PAGES, 4096), 0);
    assert_int_equal(found(4, 1, PAGES, 4096), PAGES);
}

static void test_whole_versions_go_oldest_first(void **unused)
{
    long one;

    (void)unused;
    keep(PLENTY, 2, 1, PAGES, 4096);
    one = kept_bytes();
    assert_in_range(one, 100000, PAGES * 4096);
    for (uint64_t version = 3; version < 9; version++) {
        keep((uint64_t)one * 5 / 2, version, 1, PAGES, 4096);
        assert_in_range(kept_bytes(), one, one * 5 / 2);
        for (uint64_t older = 2; older <= version; older++)
            assert_int_equal(found(older, 1, PAGES, 4096), older + 1 >= version ? PAGES : 0);
    }
    /* A small version after two large ones: one of those must go, as a whole. */
    keep((uint64_t)one * 2, 9, 1, 3, 4096);
    assert_int_equal(found(7, 1, PAGES, 4096), 0);
    assert_int_equal(found(8, 1, PAGES, 4096), PAGES);
    assert_int_equal(found(9, 1, 3, 4096), 3);
}

/* It is given up in the middle; what is there stays. */
static void test_a_push_that_is_larger_than_the_log(void **unused)
{
    struct history *history;

    (void)unused;
    keep(PLENTY, 2, 1, 20, 4096);
    history = attach((uint64_t)kept_bytes() + 1000);
    begin(history, 3, 1, PAGES, 4096);
    history_end(history);
    assert_int_equal(found(2, 1, 20, 4096), 20);
    assert_int_equal(found(3, 1, PAGES, 4096), 0);
    /* The next is kept again. */
    begin(history, 4, 1, 10, 4096);
    history_end(history);
    history_free(history);
    assert_int_equal(found(4, 1, 10, 4096), 10);
}

/* What had to be unpacked twice is there, though no more of the log can be unpacked. */
static void test_packs_that_are_needed_again(void **unused)
{
    const uint32_t count = 64 * 32,
                   stride =
                       37 * 32 + 5; /* of 64 packs, more than stay in memory; the stride is odd */
    struct history *history;
    uint8_t page[4096];

    (void)unused;
    keep(PLENTY, 2, 1, count, sizeof(page));
    history = attach(PLENTY);
    for (int pass = 0; pass < 4; pass++) {
        for (uint32_t i = 0; i < count; i++) {
            uint32_t pgno = 1 + (pass == 0 ? i : i * stride % count);
            assert_true(history_find(history, pgno, hash_of(2, pgno), NULL, sizeof(page), page));
            assert_memory_equal(page, page_of(2, pgno, sizeof(page)), sizeof(page));
        }
        if (pass == 2)
            sample_sql(file, "UPDATE pack SET data = x'00'");
    }
    history_free(history);
    assert_int_equal(found(2, 1, count, sizeof(page)), 0);
}

static void test_no_room_at_all(void **unused)
{
    (void)unused;
    keep(PLENTY, 2, 1, 20, 4096);
    assert_true(exists());
    keep(0, 3, 1, 20, 4096);
    assert_false(exists());
    assert_int_equal(found(3, 1, 20, 4096), 0);
}

static void no_database(void)
{
    sample_write_file(file,
                      "this is no database, but it is long enough to be taken for one: all of a "
                      "hundred bytes, and then some",
                      101);
}

static void empty_file(void)
{
    sample_write_file(file, "", 0);
}

static void other_layout(void)
{
    sample_sql(file, "DROP TABLE pack; CREATE TABLE pack(a); PRAGMA user_version = 99");
}

static void no_table(void)
{
    sample_sql(file, "DROP TABLE pack");
}

static void bad_pages(void)
{
    long size;
    uint8_t *bytes = sample_read_file(file, &size);

    for (long at = 4096; at < size; at += 100)
        bytes[at] ^= 0x55;
    sample_write_file(file, bytes, size);
    free(bytes);
}

static void half(void)
{
    struct stat status;

    assert_int_equal(stat(file, &status), 0);
    assert_int_equal(truncate(file, status.st_size / 2), 0);
}

static void short_packs(void)
{
    sample_sql(file, "UPDATE pack SET data = substr(data, 1, 50)");
}

static void empty_packs(void)
{
    sample_sql(file, "UPDATE pack SET data = x'', keys = CASE WHEN id = 1 THEN x'' ELSE "
                     "substr(keys, 1, 17) END");
}

static void too_many_keys(void)
{
    sample_sql(file,
               "UPDATE pack SET data = (SELECT data FROM pack ORDER BY length(data) LIMIT 1)");
}

/* Nothing that is found is longer than what is there, and the push after next is kept whatever the
 * state. */
static void test_damage(void **unused)
{
    static const struct {
        void (*make)(void);
        int is_noticed; /* the file is begun anew; else only the packs are of no use */
    } damages[] = {{no_database, 1}, {empty_file, 1},  {other_layout, 1},
                   {no_table, 1},    {bad_pages, 1},   {half, 1},
                   {short_packs, 0}, {empty_packs, 0}, {too_many_keys, 0}};

    (void)unused;
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        for (int pull_first = 0; pull_first < 2; pull_first++) {
            struct history *history;
            uint8_t page[4096];
            unlink(file);
            keep(PLENTY, 2, 1, PAGES, 4096);
            damages[i].make();
            if (pull_first) {
                /* What is found need not be right, which its hash tells; but finding it harms
                 * nobody. */
                history = attach(PLENTY);
                for (uint32_t pgno = 1; pgno <= PAGES; pgno++)
                    history_find(history, pgno, hash_of(2, pgno), NULL, 4096, page);
                history_free(history);
            }
            keep(PLENTY, 3, 1, PAGES, 4096);
            keep(PLENTY, 4, 1, PAGES, 4096);
            assert_int_equal(found(4, 1, PAGES, 4096), PAGES);
            if (damages[i].is_noticed && pull_first)
                assert_int_equal(found(2, 1, PAGES, 4096), 0);
        }
    }
}

/* Another process is writing, or no file can be made: the push goes on without. */
static void test_a_log_that_cannot_be_used(void **unused)
{
    struct sample_holder holder;

    (void)unused;
    keep(PLENTY, 2, 1, 5, 4096);
    holder = sample_hold(file, "BEGIN EXCLUSIVE");
    keep(PLENTY, 3, 1, 5, 4096);
    sample_let_go(holder);
    assert_int_equal(found(2, 1, 5, 4096), 5);
    assert_int_equal(found(3, 1, 5, 4096), 0);
    unlink(file);
    assert_int_equal(mkdir(file, 0700), 0);
    keep(PLENTY, 4, 1, 5, 4096);
    assert_int_equal(found(4, 1, 5, 4096), 0);
    assert_int_equal(rmdir(file), 0);
}

static int setup_one(void **unused)
{
    (void)unused;
    path = sample_path("db");
    file = sample_path("db-lockstep-history");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_round_trips, setup_one),
        cmocka_unit_test_setup(test_other_keys, setup_one),
        cmocka_unit_test_setup(test_differences, setup_one),
        cmocka_unit_test_setup(test_a_page_that_comes_back, setup_one),
        cmocka_unit_test_setup(test_a_long_chain, setup_one),
        cmocka_unit_test_setup(test_a_push_that_is_not_ended_leaves_nothing, setup_one),
        cmocka_unit_test_setup(test_whole_versions_go_oldest_first, setup_one),
        cmocka_unit_test_setup(test_a_push_that_is_larger_than_the_log, setup_one),
        cmocka_unit_test_setup(test_packs_that_are_needed_again, setup_one),
        cmocka_unit_test_setup(test_no_room_at_all, setup_one),
        cmocka_unit_test_setup(test_damage, setup_one),
        cmocka_unit_test_setup(test_a_log_that_cannot_be_used, setup_one),
    };

    return cmocka_run_group_tests(tests, sample_setup, sample_teardown);
}
