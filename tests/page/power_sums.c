/* power_sums: every set of up to half as many pages as words is found exactly, every larger one is
 * known to be larger. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/page/gf64.h"
#include "protocol/page/page_hash.h"
#include "protocol/page/power_sums.h"

#define PAGES_MAX 3000
#define WORDS_MAX 1200

static uint64_t random_state = 1;

static uint64_t next_random(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static struct page_hash hashes[PAGES_MAX];
static uint64_t words[WORDS_MAX];

/* hashes: of `differing` of the pages, not 0; those of all others are 0. */
static void choose(uint32_t pages, uint32_t differing)
{
    memset(hashes, 0, sizeof(hashes));
    while (differing > 0) {
        struct page_hash *hash = &hashes[next_random() % pages];

        if (hash->low != 0)
            continue;
        hash->low = next_random() | 1;
        differing--;
    }
}

static void make_words(uint32_t pages, size_t count)
{
    struct power_sums sums;

    assert_int_equal(power_sums_init(&sums, hashes, pages, NULL), 0);
    power_sums_next(&sums, words, count / 3);
    power_sums_next(&sums, words + count / 3, count - count / 3);
    power_sums_release(&sums);
}

static void test_words(void **state)
{
    (void)state;
    choose(50, 30);
    make_words(50, 100);
    for (uint64_t j = 0; j < 100; j++) {
        uint64_t sum = 0;

        for (uint64_t i = 1; i <= 50; i++) {
            uint64_t term = hashes[i - 1].low;

            for (uint64_t k = 0; k < j; k++)
                term = gf64_multiply(term, i);
            sum ^= term;
        }
        assert_true(words[j] == sum);
    }
}

static void check(uint32_t pages, uint32_t differing, size_t count)
{
    uint32_t pgnos[WORDS_MAX / 2];
    uint64_t values[WORDS_MAX / 2];
    size_t found, at = 0;

    choose(pages, differing);
    make_words(pages, count);
    assert_int_equal(power_sums_solve(words, count, pages, pgnos, values, &found, NULL), 0);
    if (2 * (size_t)differing > count) {
        assert_true(found == SIZE_MAX);
        return;
    }
    assert_int_equal(found, differing);
    for (uint32_t i = 0; i < pages; i++) {
        if (hashes[i].low == 0)
            continue;
        assert_int_equal(pgnos[at], i + 1);
        assert_true(values[at++] == hashes[i].low);
    }
}

static void test_all_small_sets(void **state)
{
    (void)state;
    for (uint32_t pages = 1; pages <= 24; pages++)
        for (uint32_t differing = 0; differing <= pages; differing++)
            for (size_t count = 2; count <= 2 * pages; count += 2)
                check(pages, differing, count);
}

static void test_large_sets(void **state)
{
    static const struct {
        uint32_t pages, differing;
        size_t count;
    } rows[] = {
        {300, 120, 240},
        {300, 121, 240},
        {PAGES_MAX, 0, 1060},
        {PAGES_MAX, 300, 1060},
        {PAGES_MAX, 530, 1060},
        {PAGES_MAX, 531, 1060},
        {PAGES_MAX, PAGES_MAX, 1060},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        check(rows[i].pages, rows[i].differing, rows[i].count);
}

/* With the hashes of the others taken out, any number of words give those of as many pages. */
static void test_fill_in(void **state)
{
    static const uint32_t counts[] = {0, 1, 2, 3, 50, 499, 500};
    uint64_t values[500];

    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        choose(500, 400);
        make_words(500, counts[i]);
        for (uint32_t pgno = counts[i] + 1; pgno <= 500; pgno++)
            power_sums_take_out(words, counts[i], pgno, hashes[pgno - 1].low);
        assert_int_equal(power_sums_fill_in(words, counts[i], values, NULL), 0);
        for (uint32_t k = 0; k < counts[i]; k++)
            assert_true(values[k] == hashes[k].low);
    }
}

/* Words that are no sums of anything are known for it. */
static void test_garbage(void **state)
{
    uint32_t pgnos[WORDS_MAX / 2];
    uint64_t values[WORDS_MAX / 2];
    size_t found;

    (void)state;
    for (int round = 0; round < 20; round++) {
        for (size_t j = 0; j < 200; j++)
            words[j] = round == 0 ? UINT64_MAX : round == 1 && j < 150 ? 0 : next_random();
        assert_int_equal(power_sums_solve(words, 200, 1000, pgnos, values, &found, NULL), 0);
        assert_true(found == SIZE_MAX || (round == 0 && found == 1 && pgnos[0] == 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),      cmocka_unit_test(test_all_small_sets),
        cmocka_unit_test(test_large_sets), cmocka_unit_test(test_fill_in),
        cmocka_unit_test(test_garbage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
