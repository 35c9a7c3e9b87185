/* read_window: which reads are answered from memory, which are worth a piece, and what a write does
 * to it. */
#include "protocol/page/read_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define FILE_SIZE 1000u
#define GAP       20
#define PIECE     64

static uint8_t file[FILE_SIZE];
static struct read_window window;
static int alone, pieces; /* reads of the file */

/* Read as the users of a window do, and check what comes. */
static void get(uint64_t at, size_t len)
{
    uint8_t bytes[128];
    uint8_t *piece;

    if (!read_window_copy(&window, bytes, len, at)) {
        piece = read_window_plan(&window, len, at);
        if (piece != NULL) {
            size_t there = FILE_SIZE - at < PIECE ? FILE_SIZE - at : PIECE;
            memcpy(piece, file + at, there);
            read_window_fill(&window, at, there);
            pieces++;
        } else {
            alone++;
        }
        memcpy(bytes, file + at, len);
    }
    assert_memory_equal(bytes, file + at, len);
}

/* The reads of the file since the last time. */
static void check(int expected_alone, int expected_pieces)
{
    assert_int_equal(alone, expected_alone);
    assert_int_equal(pieces, expected_pieces);
    alone = pieces = 0;
}

static int begin(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < FILE_SIZE; i++)
        file[i] = (uint8_t)(i * 7 + i / 256);
    window = (struct read_window){0};
    read_window_set(&window, GAP, PIECE);
    alone = pieces = 0;
    return 0;
}

static int end(void **unused)
{
    (void)unused;
    read_window_release(&window);
    return 0;
}

static void test_in_order(void **unused)
{
    (void)unused;
    for (uint64_t at = 0; at < 640; at += 16)
        get(at, 16);
    check(0, 10);
}

static void test_near_and_far(void **unused)
{
    (void)unused;
    get(500, 8); /* nothing says yet that others follow */
    check(1, 0);
    get(508 + GAP, 8);
    check(0, 1);
    get(508 + GAP + PIECE - 8, 8);
    check(0, 0);
    get(508 + GAP + PIECE + GAP + 1, 8); /* a byte too far */
    check(1, 0);
    get(100, 8); /* back */
    check(1, 0);
    get(108, PIECE + 1); /* more than a piece */
    check(1, 0);
}

static void test_end_of_the_file(void **unused)
{
    (void)unused;
    get(980, 8);
    get(988, 8);
    check(1, 1);
    get(996, 4);
    check(0, 0);
}

static void test_writes(void **unused)
{
    (void)unused;
    get(0, 8);
    check(0, 1);
    memset(file + 16, 0xee, 8);
    read_window_write(&window, file + 16, 8, 16);
    get(16, 8);
    check(0, 0);
    /* Half of it: dropped. Behind it: nothing. */
    memset(file + PIECE, 0xdd, 8);
    read_window_write(&window, file + PIECE, 8, PIECE);
    get(24, 8);
    check(0, 0);
    memset(file + PIECE - 4, 0xcc, 8);
    read_window_write(&window, file + PIECE - 4, 8, PIECE - 4);
    get(PIECE - 8, 8);
    check(1, 0); /* from behind the last read it does not follow */
}

static void test_dropped_and_off(void **unused)
{
    (void)unused;
    get(0, 8);
    check(0, 1);
    file[8]++;
    read_window_drop(&window);
    get(8, 8);
    check(0, 1);
    read_window_set(&window, GAP, 0);
    get(16, 8);
    get(24, 8);
    check(2, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_order, begin, end),
        cmocka_unit_test_setup_teardown(test_near_and_far, begin, end),
        cmocka_unit_test_setup_teardown(test_end_of_the_file, begin, end),
        cmocka_unit_test_setup_teardown(test_writes, begin, end),
        cmocka_unit_test_setup_teardown(test_dropped_and_off, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
