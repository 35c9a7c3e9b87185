/* The replica's kept base: a copy, kept current page by page, of which nothing is trusted. */
#include "replica/kept_base.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/base/error.h"
#include "tests/page/sample.h"

#define SIZE 512

static char *path, *file, *temporary;

static void make_database(void)
{
    uint8_t bytes[5 * SIZE];

    for (int i = 0; i < 5; i++)
        memset(bytes + i * SIZE, 'a' + i, SIZE);
    sample_write_file(path, bytes, sizeof(bytes));
}

/* The first byte of page pgno of the base; 0: there is no such page. */
static int first_byte(uint32_t pgno)
{
    struct kept_base *base;
    uint8_t page[SIZE] = {0};
    int found;

    kept_base_open(&base, path, SIZE);
    assert_non_null(base);
    found = kept_base_read_page(base, pgno, page);
    kept_base_free(base);
    return found ? page[0] : 0;
}

static void test_modes(void **unused)
{
    static const char *const names[] = {"auto", "reflink", "copy", "none"};
    enum kept_base_mode mode;

    (void)unused;
    for (int i = 0; i < 4; i++) {
        ok(kept_base_read_mode(names[i], &mode, &failure));
        assert_int_equal(mode, i);
    }
    assert_int_equal(kept_base_read_mode("Copy", &mode, &failure), ERR_USAGE);
    assert_non_null(strstr(failure.text, "\"Copy\""));
}

static void test_made_once_then_kept_current(void **unused)
{
    struct kept_base *base;
    uint8_t page[SIZE];

    (void)unused;
    kept_base_open(&base, path, SIZE);
    assert_null(base);
    kept_base_free(base);
    ok(kept_base_make(path, KEPT_BASE_COPY, &failure));
    assert_int_equal(access(temporary, F_OK), -1);
    for (uint32_t pgno = 1; pgno <= 5; pgno++)
        assert_int_equal(first_byte(pgno), 'a' + (int)pgno - 1);
    assert_int_equal(first_byte(6), 0);
    kept_base_open(&base, path, SIZE);
    memset(page, 'x', SIZE);
    kept_base_write_page(base, 2, page);
    kept_base_write_page(base, 7, page);
    kept_base_free(base);
    assert_int_equal(first_byte(2), 'x');
    assert_int_equal(first_byte(7), 'x');
    kept_base_open(&base, path, SIZE);
    kept_base_truncate(base, 3);
    kept_base_free(base);
    assert_int_equal(first_byte(3), 'c');
    assert_int_equal(first_byte(4), 0);
    /* What is there is not made again. */
    ok(kept_base_make(path, KEPT_BASE_COPY, &failure));
    assert_int_equal(first_byte(2), 'x');
    ok(kept_base_make(path, KEPT_BASE_NONE, &failure));
    assert_int_equal(access(file, F_OK), -1);
    ok(kept_base_make(path, KEPT_BASE_NONE, &failure));
}

/* Auto leaves out what cannot be had, the others say so. Half a page at the end is no page. */
static void test_what_cannot_be_made(void **unused)
{
    uint8_t bytes[SIZE + SIZE / 2] = {'z'};

    (void)unused;
    unlink(path);
    ok(kept_base_make(path, KEPT_BASE_AUTO, &failure));
    assert_int_equal(failure.code, ERR_NONE);
    assert_int_equal(kept_base_make(path, KEPT_BASE_COPY, &failure), ERR_IO);
    assert_non_null(strstr(failure.text, path));
    assert_int_equal(access(file, F_OK), -1);
    sample_write_file(file, bytes, sizeof(bytes));
    assert_int_equal(first_byte(1), 'z');
    assert_int_equal(first_byte(2), 0);
}

/* Nobody reads more by the base than by the database. */
static void test_permissions(void **unused)
{
    struct stat status;

    (void)unused;
    assert_int_equal(chmod(path, 0600), 0);
    ok(kept_base_make(path, KEPT_BASE_COPY, &failure));
    assert_int_equal(stat(file, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

/* What an attempt left that died in between is written over. */
static void test_left_over(void **unused)
{
    (void)unused;
    sample_write_file(temporary, "0123456789", 10);
    ok(kept_base_make(path, KEPT_BASE_AUTO, &failure));
    assert_int_equal(first_byte(5), 'e');
}

/* Begin a base that is written together with the database, and write so many bytes of it. */
static void begin(enum kept_base_mode mode, size_t len)
{
    uint8_t bytes[5 * SIZE];
    int from = open(path, O_RDONLY), fd;

    memset(bytes, 'w', sizeof(bytes));
    fd = kept_base_begin(path, from, mode, sizeof(bytes));
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
    close(from);
}

/* A base that was written together with the database is taken as it is, in the place of an older one. */
static void test_begun_with_the_database(void **unused)
{
    struct stat status;

    (void)unused;
    sample_write_file(file, "old", 3);
    assert_int_equal(chmod(path, 0640), 0);
    begin(KEPT_BASE_COPY, 5 * SIZE);
    assert_int_equal(stat(temporary, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    ok(kept_base_make(path, KEPT_BASE_COPY, &failure));
    assert_int_equal(first_byte(1), 'w');
    assert_int_equal(first_byte(5), 'w');
    assert_int_equal(stat(file, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
    assert_int_equal(access(temporary, F_OK), -1);
}

static void test_begun_and_not_whole(void **unused)
{
    int from = open(path, O_RDONLY);

    (void)unused;
    begin(KEPT_BASE_COPY, 5 * SIZE - 1);
    ok(kept_base_make(path, KEPT_BASE_COPY, &failure));
    assert_int_equal(first_byte(5), 'e');
    begin(KEPT_BASE_COPY, SIZE);
    kept_base_abandon(path);
    assert_int_equal(access(temporary, F_OK), -1);
    /* None is begun where none is wanted, where a reflink shall be made, or where there is no room. */
    assert_int_equal(kept_base_begin(path, from, KEPT_BASE_NONE, SIZE), -1);
    assert_int_equal(kept_base_begin(path, from, KEPT_BASE_REFLINK, SIZE), -1);
    assert_int_equal(kept_base_begin(path, from, KEPT_BASE_COPY, (uint64_t)1 << 60), -1);
    assert_int_equal(access(temporary, F_OK), -1);
    close(from);
}

static int setup_one(void **unused)
{
    (void)unused;
    path = sample_path("db");
    file = sample_path("db-lockstep-base");
    temporary = sample_path("db-lockstep-base.tmp");
    error_init(&failure);
    make_database();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_modes, setup_one),
        cmocka_unit_test_setup(test_made_once_then_kept_current, setup_one),
        cmocka_unit_test_setup(test_what_cannot_be_made, setup_one),
        cmocka_unit_test_setup(test_permissions, setup_one),
        cmocka_unit_test_setup(test_left_over, setup_one),
        cmocka_unit_test_setup(test_begun_with_the_database, setup_one),
        cmocka_unit_test_setup(test_begun_and_not_whole, setup_one),
    };

    return cmocka_run_group_tests(tests, sample_setup, sample_teardown);
}
