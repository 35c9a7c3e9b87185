/* What differs between two pages: there and back, what is too much, and deltas that are none. */
#include "protocol/page/page_delta.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_SIZE 65536u

static uint8_t old[MAX_SIZE], page[MAX_SIZE], delta[MAX_SIZE];

static void fill(uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        old[i] = page[i] = (uint8_t)rand();
}

/* The delta's length; its result is the page. */
static size_t there_and_back(uint32_t size)
{
    size_t len = 0;

    assert_int_equal(page_delta_make(old, page, size, delta, size / 2, &len), 1);
    assert_int_equal(page_delta_apply(old, size, delta, len), 1);
    assert_memory_equal(old, page, size);
    return len;
}

static void test_sizes(void **unused)
{
    static const uint32_t sizes[] = {512, 4096, MAX_SIZE};
    static const struct {
        uint32_t first, len; /* bytes that change; counted from the end if len is 0 */
        size_t delta;
    } rows[] = {{0, 1, 12}, {7, 2, 20}, {8, 8, 12}, {100, 30, 44}, {1, 0, 12}, {256, 0, 260}};

    (void)unused;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        fill(sizes[s]);
        assert_int_equal(there_and_back(sizes[s]), 0);
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            uint32_t len = rows[i].len > 0 ? rows[i].len : rows[i].first;
            uint32_t first = rows[i].len > 0 ? rows[i].first : sizes[s] - rows[i].first;
            if (len > sizes[s] / 2 - 4)
                continue;
            fill(sizes[s]);
            for (uint32_t at = first; at < first + len; at++)
                page[at] ^= 0x55;
            assert_int_equal(there_and_back(sizes[s]), rows[i].delta);
        }
    }
}

static void test_many_runs(void **unused)
{
    (void)unused;
    for (int round = 0; round < 1000; round++) {
        fill(4096);
        for (int i = rand() % 100; i > 0; i--)
            page[rand() % 4096] ^= (uint8_t)rand();
        there_and_back(4096);
    }
}

/* The first byte that does not fit is one too many. */
static void test_too_much(void **unused)
{
    size_t len;

    (void)unused;
    fill(4096);
    for (uint32_t i = 0; i < 4096; i += 64)
        page[i]++;
    assert_int_equal(page_delta_make(old, page, 4096, delta, 64 * 12, &len), 1);
    assert_int_equal(len, 64 * 12);
    assert_int_equal(page_delta_make(old, page, 4096, delta, 64 * 12 - 1, &len), 0);
    for (uint32_t i = 0; i < 4096; i++)
        page[i] = (uint8_t)~old[i];
    assert_int_equal(page_delta_make(old, page, 4096, delta, 4095, &len), 0);
}

/* What a file may hold after a crash. */
static void test_none(void **unused)
{
    static const struct {
        uint16_t words[4];
        size_t len;
    } rows[] = {
        {{0, 2, 0}, 2},         /* half a head */
        {{0, 2, 0}, 5},         /* half a run */
        {{511, 2, 0}, 6},       /* beyond the end of a page of 512 */
        {{513, 0}, 4},          /* the same before a run of nothing */
        {{65535, 65535, 0}, 8}, /* far beyond */
        {{512, 0, 1, 0}, 8},    /* in the second run */
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(page_delta_apply(page, 512, (const uint8_t *)rows[i].words, rows[i].len),
                         0);
    for (int round = 0; round < 10000; round++) {
        size_t len = (size_t)(rand() % 600);
        for (size_t i = 0; i < len; i++)
            delta[i] = (uint8_t)(i % 4 == 1 || i % 4 == 3 ? 0 : rand());
        page_delta_apply(page, 512, delta, len); /* the sanitizers watch */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_many_runs),
        cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
