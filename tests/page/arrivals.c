/* arrivals: pages that wait, in order and by place, with and without a name, and what an earlier
 * process left of them. */
#include "protocol/page/arrivals.h"

#include <fcntl.h>
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
#include "tests/page/sample.h"

#define PAGE   4096u
#define MANY   600u /* pages: more than a chunk of 256 KiB, and more than what is worth keeping */
#define HEADER 48   /* bytes before the first record of a file with a name */
#define RECORD (8 + PAGE)

static const uint8_t root[PAGE_ROOT_SIZE] = {1, 2, 3};

/* What page pgno holds. */
static const uint8_t *content(uint32_t pgno)
{
    static uint8_t page[PAGE];

    for (size_t i = 0; i < PAGE; i++)
        page[i] = (uint8_t)(pgno * 31 + i * 7);
    return page;
}

static void add(struct arrivals *arrivals, uint32_t first, uint32_t last)
{
    for (uint32_t pgno = first; pgno <= last; pgno++)
        assert_int_equal(arrivals_add(arrivals, pgno, content(pgno), NULL, &failure), 0);
}

/* What page pgno was before: like what it becomes, or not at all. */
static void make_old(uint32_t pgno, uint8_t *page)
{
    memcpy(page, content(pgno), PAGE);
    for (size_t i = 0; i < (pgno % 5 == 0 ? PAGE : pgno % 40); i++)
        page[i * 3 % PAGE] ^= 0x11;
}

static int fetches, fails_at;

static int fetch_old(void *arg, uint32_t pgno, uint8_t *page, struct error *error)
{
    assert_ptr_equal(arg, &fetches);
    fetches++;
    if (fetches == fails_at)
        return error_set(error, ERR_BUSY, "not now");
    make_old(pgno, page);
    return 0;
}

/* As add, each page with what it replaces. */
static void add_changed(struct arrivals *arrivals, uint32_t first, uint32_t last)
{
    uint8_t old[PAGE];

    for (uint32_t pgno = first; pgno <= last; pgno++) {
        make_old(pgno, old);
        assert_int_equal(arrivals_add(arrivals, pgno, content(pgno), old, &failure), 0);
    }
    arrivals_build_on(arrivals, fetch_old, &fetches);
}

/* All that is there are the pages from first to last, in order. */
static void check(struct arrivals *arrivals, uint32_t first, uint32_t last)
{
    const uint8_t *page;
    uint32_t pgno;

    for (uint32_t expected = first; expected <= last; expected++) {
        assert_int_equal(arrivals_next(arrivals, &pgno, &page, &failure), 0);
        assert_int_equal(pgno, expected);
        assert_memory_equal(page, content(pgno), PAGE);
    }
    assert_int_equal(arrivals_next(arrivals, &pgno, &page, &failure), 0);
    assert_int_equal(pgno, 0);
    assert_int_equal(arrivals_count(arrivals), last + 1 - first);
}

static struct arrivals *open_for(const char *database, const uint8_t *for_root, uint32_t page_size)
{
    struct arrivals *arrivals;

    assert_int_equal(arrivals_open(&arrivals, database, page_size, for_root, &failure), 0);
    return arrivals;
}

static char *name_of(const char *database)
{
    static char path[512];

    snprintf(path, sizeof(path), "%s.lockstep-pull", database);
    return path;
}

/* Where each page begins, in the order in which they came; the last is where the next would. */
static uint64_t places[MANY + 1];

static void find_places(struct arrivals *arrivals)
{
    const uint8_t *page;
    uint32_t pgno, count = 0;

    arrivals_rewind(arrivals);
    do {
        assert_int_equal(arrivals_next(arrivals, &pgno, &page, &failure), 0);
        assert_true(count <= MANY);
        places[count++] = arrivals_place(arrivals);
    } while (pgno != 0);
    arrivals_rewind(arrivals);
}

static void test_in_order_and_by_place(void **unused)
{
    struct arrivals *arrivals;
    uint8_t page[PAGE];

    (void)unused;
    for (int changed = 0; changed < 2; changed++) {
        assert_int_equal(arrivals_new(&arrivals, sample_path("some.db"), PAGE, &failure), 0);
        check(arrivals, 1, 0);
        arrivals_rewind(arrivals);
        (changed ? add_changed : add)(arrivals, 1, MANY);
        check(arrivals, 1, MANY);
        find_places(arrivals);
        for (uint32_t record = 0; record < MANY; record += 77) {
            assert_int_equal(arrivals_read(arrivals, places[record], page, &failure), 0);
            assert_memory_equal(page, content(record + 1), PAGE);
        }
        /* Reading does not move where the next pages go. */
        (changed ? add_changed : add)(arrivals, MANY + 1, MANY + 3);
        check(arrivals, 1, MANY + 3);
        arrivals_free(arrivals);
    }
}

static void test_like_what_they_replace(void **unused)
{
    uint64_t given, alike;
    struct arrivals *arrivals;

    (void)unused;
    assert_int_equal(arrivals_new(&arrivals, sample_path("some.db"), PAGE, &failure), 0);
    add_changed(arrivals, 1, MANY);
    add(arrivals, MANY + 1, MANY + 1);
    arrivals_likeness(arrivals, &given, &alike);
    assert_int_equal(given, MANY);
    assert_int_equal(alike, MANY - MANY / 5);
    fetches = 0;
    check(arrivals, 1, MANY + 1);
    assert_int_equal(fetches, alike);
    arrivals_free(arrivals);
}

static void test_old_page_that_cannot_be_had(void **unused)
{
    struct arrivals *arrivals;
    const uint8_t *page;
    uint32_t pgno;

    (void)unused;
    assert_int_equal(arrivals_new(&arrivals, sample_path("some.db"), PAGE, &failure), 0);
    add_changed(arrivals, 1, 4);
    fetches = 0;
    fails_at = 2;
    assert_int_equal(arrivals_next(arrivals, &pgno, &page, &failure), 0);
    assert_int_equal(arrivals_next(arrivals, &pgno, &page, &failure), ERR_BUSY);
    assert_int_equal(pgno, 0);
    fails_at = 0;
    arrivals_free(arrivals);
}

static void test_cut(void **unused)
{
    static const uint32_t kept[] = {MANY - 1, 64, 63, 1, 0};
    struct arrivals *arrivals;

    (void)unused;
    for (int changed = 0; changed < 2; changed++) {
        assert_int_equal(arrivals_new(&arrivals, sample_path("some.db"), PAGE, &failure), 0);
        (changed ? add_changed : add)(arrivals, 1, MANY);
        find_places(arrivals);
        for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
            assert_int_equal(arrivals_cut(arrivals, places[kept[i]], &failure), 0);
            check(arrivals, 1, kept[i]);
        }
        arrivals_rewind(arrivals);
        add(arrivals, 1, 2);
        check(arrivals, 1, 2);
        arrivals_free(arrivals);
    }
}

static void test_next_process_goes_on(void **unused)
{
    const char *database = sample_path("pulled.db");
    struct arrivals *arrivals = open_for(database, root, PAGE);
    struct arrivals *second;
    struct stat status;

    (void)unused;
    check(arrivals, 1, 0);
    arrivals_rewind(arrivals);
    add(arrivals, 1, MANY);
    assert_int_equal(arrivals_open(&second, database, PAGE, root, &failure), ERR_BUSY);
    assert_null(second);
    arrivals_free(arrivals);
    assert_int_equal(stat(name_of(database), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);

    arrivals = open_for(database, root, PAGE);
    check(arrivals, 1, MANY);
    arrivals_rewind(arrivals);
    add(arrivals, MANY + 1, MANY + 2);
    arrivals_free(arrivals);

    arrivals = open_for(database, root, PAGE);
    check(arrivals, 1, MANY + 2);
    arrivals_discard(arrivals);
    assert_int_equal(access(name_of(database), F_OK), -1);
    arrivals_rewind(arrivals);
    check(arrivals, 1, MANY + 2);
    arrivals_free(arrivals);
    assert_int_equal(access(name_of(database), F_OK), -1);
}

static void test_little_is_not_kept(void **unused)
{
    const char *database = sample_path("little.db");
    struct arrivals *arrivals = open_for(database, root, PAGE);

    (void)unused;
    add(arrivals, 1, 200);
    arrivals_free(arrivals);
    assert_int_equal(access(name_of(database), F_OK), -1);
}

/* Pages for another content, of another size, or behind a header that is not one, are none. */
static void test_pages_for_something_else(void **unused)
{
    static const uint8_t other[PAGE_ROOT_SIZE] = {1, 2, 4};
    static const struct {
        const uint8_t *root;
        uint32_t page_size;
        off_t damage; /* byte of the file to change; -1: none */
    } rows[] = {{other, PAGE, -1}, {root, 2 * PAGE, -1}, {root, PAGE, 0}, {root, PAGE, 20}};

    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *database = sample_path("else.db");
        struct arrivals *arrivals = open_for(database, root, PAGE);
        int fd;

        add(arrivals, 1, MANY);
        arrivals_free(arrivals);
        if (rows[i].damage >= 0) {
            fd = open(name_of(database), O_WRONLY);
            assert_int_equal(pwrite(fd, "\x77", 1, rows[i].damage), 1);
            close(fd);
        }
        arrivals = open_for(database, rows[i].root, rows[i].page_size);
        check(arrivals, 1, 0);
        arrivals_discard(arrivals);
        arrivals_free(arrivals);
    }
}

/* A process that was killed leaves its last record in pieces; a power loss, zeros. What is before
 * that is good. */
static void test_damaged_record(void **unused)
{
    static const struct {
        off_t cut;    /* the file's length then */
        off_t damage; /* where 8 bytes are overwritten; -1: nowhere */
        uint8_t byte; /* with which */
    } rows[] = {{HEADER + 10 * RECORD + 5, -1, 0},
                {HEADER + 10 * RECORD + 100, -1, 0},
                {HEADER + 20 * RECORD, HEADER + 10 * RECORD, 0},
                {HEADER + 20 * RECORD, HEADER + 10 * RECORD, 0xff}};

    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *database = sample_path("half.db");
        struct arrivals *arrivals = open_for(database, root, PAGE);
        uint8_t bytes[8];
        const uint8_t *page;
        uint32_t pgno;
        int fd;

        add(arrivals, 1, MANY);
        arrivals_free(arrivals);
        assert_int_equal(truncate(name_of(database), rows[i].cut), 0);
        memset(bytes, rows[i].byte, sizeof(bytes));
        fd = open(name_of(database), O_WRONLY);
        if (rows[i].damage >= 0)
            assert_int_equal(pwrite(fd, bytes, sizeof(bytes), rows[i].damage), sizeof(bytes));
        close(fd);
        arrivals = open_for(database, root, PAGE);
        for (uint32_t expected = 1; expected <= 10; expected++) {
            assert_int_equal(arrivals_next(arrivals, &pgno, &page, &failure), 0);
            assert_int_equal(pgno, expected);
        }
        assert_int_equal(arrivals_next(arrivals, &pgno, &page, &failure), ERR_IO);
        assert_int_equal(pgno, 0);
        assert_int_equal(arrivals_place(arrivals), HEADER + 10 * RECORD);
        assert_int_equal(arrivals_cut(arrivals, arrivals_place(arrivals), &failure), 0);
        add(arrivals, 11, MANY);
        check(arrivals, 1, MANY);
        arrivals_discard(arrivals);
        arrivals_free(arrivals);
    }
}

/* Whoever has no use for what is there leaves it to the next. */
static void test_not_looked_at(void **unused)
{
    const char *database = sample_path("unread.db");
    struct arrivals *arrivals = open_for(database, root, PAGE);

    (void)unused;
    add(arrivals, 1, MANY);
    arrivals_free(arrivals);
    arrivals_free(open_for(database, root, PAGE));
    arrivals = open_for(database, root, PAGE);
    check(arrivals, 1, MANY);
    arrivals_discard(arrivals);
    arrivals_free(arrivals);
}

static void test_no_place(void **unused)
{
    struct arrivals *arrivals;

    (void)unused;
    assert_int_equal(arrivals_new(&arrivals, "/nonexistent/some.db", PAGE, &failure),
                     ERR_NOT_ALLOWED);
    assert_null(arrivals);
    assert_int_equal(arrivals_open(&arrivals, "/nonexistent/some.db", PAGE, root, &failure),
                     ERR_NOT_ALLOWED);
    assert_null(arrivals);
    arrivals_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order_and_by_place),
        cmocka_unit_test(test_like_what_they_replace),
        cmocka_unit_test(test_old_page_that_cannot_be_had),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_next_process_goes_on),
        cmocka_unit_test(test_little_is_not_kept),
        cmocka_unit_test(test_pages_for_something_else),
        cmocka_unit_test(test_damaged_record),
        cmocka_unit_test(test_not_looked_at),
        cmocka_unit_test(test_no_place),
    };

    return cmocka_run_group_tests(tests, sample_setup, sample_teardown);
}
