/*
 * sketch: the format, by vectors that a second implementation made, written from the text of
 * sketch.h alone; and what the rest relies on: any piece of the stream can be made by itself, the
 * stated densities are true.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/page/gf64.h"
#include "protocol/page/page_hash.h"
#include "protocol/page/sketch.h"
#include "protocol/page/tally.h"

#define CELLS 4240
#define PAGES 4400

static const uint8_t seed[SKETCH_SEED_SIZE] = {1, 2,  3,  4,  5,  6,  7,  8,
                                               9, 10, 11, 12, 13, 14, 15, 16};

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static struct page_hash *make_hashes(uint32_t pages, uint64_t salt)
{
    struct page_hash *hashes = calloc(pages, sizeof(*hashes));

    assert_non_null(hashes);
    for (uint32_t i = 0; i < pages; i++)
        hashes[i].low = mix(salt + i + 1);
    return hashes;
}

static void test_golden_cells(void **state)
{
    static const struct {
        uint64_t cell, sum, weighted;
    } rows[] = {
        {0, 0x6a94a08da484ea51, 0xc98a354fe3358af0},
        {1, 0xee03c85289bcb682, 0x2974e78d6e89686b},
        {60, 0xab12d4be7b766ff1, 0xbff1d96e5df171e8},
        {72, 0xb6e007008f64c01e, 0x68186b8bcab77f1b},
        {97, 0x662f93613421cc1e, 0x450bab08953507c0},
        {98, 0x401479024b5570ab, 0xae2ef882e388f32b},
        {300, 0xa984380a0c07a225, 0xbc9dfc7dd84a2497},
        {529, 0x0ab9d3e1d40f3365, 0x3402aa37bf6ecde1},
        {530, 0xf95f58a7f62ecd21, 0x7fd2568ef71dd02d},
        {700, 0xaf6b021f631395ca, 0xb97a6da21198b9ee},
        {1059, 0x5326a5347a6c1f4d, 0x72a7af38824b1e57},
        {1060, 0x4a34969be65ee5e5, 0x66d29cdab4854ed3},
        {4239, 0, 0},
    };
    struct page_hash *hashes = make_hashes(PAGES, 0x5eed);
    struct sketch_cell *cells = calloc(CELLS, sizeof(*cells));
    uint64_t digest = 0xcbf29ce484222325;
    struct sketch_key key;
    struct sketch sketch;

    (void)state;
    assert_non_null(cells);
    sketch_key_init(&key, seed, PAGES);
    sketch_init(&sketch, &key, hashes, CELLS);
    assert_int_equal(sketch_read(&sketch, 0, CELLS, cells, NULL), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        assert_true(cells[rows[i].cell].sum == rows[i].sum);
        assert_true(cells[rows[i].cell].weighted == rows[i].weighted);
    }
    for (size_t i = 0; i < CELLS; i++) { /* FNV-1a, a word at a time */
        digest = (digest ^ cells[i].sum) * 0x100000001b3;
        digest = (digest ^ cells[i].weighted) * 0x100000001b3;
    }
    assert_true(digest == 0xd762a455d52b41de);
    sketch_release(&sketch);
    free(cells);
    free(hashes);
}

static void test_bytes_of_a_cell(void **state)
{
    static const uint8_t expected[] = {8,    7,    6,    5,    4,    3,    2,    1,
                                       0xf8, 0xf7, 0xf6, 0xf5, 0xf4, 0xf3, 0xf2, 0xf1};
    struct sketch_cell cell = {0x0102030405060708, 0xf1f2f3f4f5f6f7f8}, back;
    uint8_t bytes[16];

    (void)state;
    sketch_store(&cell, 1, bytes);
    assert_memory_equal(bytes, expected, sizeof(expected));
    sketch_load(&back, 1, bytes);
    assert_memory_equal(&back, &cell, sizeof(cell));
}

/* Pieces of the stream are the stream, in whatever order and size they are read. */
static void test_pieces(void **state)
{
    static const struct {
        uint64_t first;
        size_t count;
    } pieces[] = {{0, 1},       {1, 600},  {601, 3},  {3, 5},    {529, 2},
                  {1000, 3240}, {4239, 1}, {2120, 1}, {98, 4142}};
    struct page_hash *hashes = make_hashes(PAGES, 1);
    struct sketch_cell *whole = calloc(CELLS, sizeof(*whole)),
                       *piece = calloc(CELLS, sizeof(*piece));
    struct sketch_key key;
    struct sketch sketch;

    (void)state;
    assert_true(whole != NULL && piece != NULL);
    sketch_key_init(&key, seed, PAGES);
    sketch_init(&sketch, &key, hashes, CELLS);
    assert_int_equal(sketch_read(&sketch, 0, CELLS, whole, NULL), 0);
    sketch_forget(&sketch);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
        assert_int_equal(sketch_read(&sketch, pieces[i].first, pieces[i].count, piece, NULL), 0);
        assert_memory_equal(piece, whole + pieces[i].first, pieces[i].count * sizeof(*piece));
    }
    sketch_release(&sketch);
    free(whole);
    free(piece);
    free(hashes);
}

/* A page's cells are distinct, in range, the same for each range asked, and what sketch_falls_into
 * says. */
static void test_places(void **state)
{
    struct sketch_key key;
    uint64_t all[SKETCH_PLACES_MAX], part[SKETCH_PLACES_MAX];

    (void)state;
    sketch_key_init(&key, seed, PAGES);
    for (uint32_t pgno = 1; pgno <= 400; pgno++) {
        unsigned count = sketch_places(&key, pgno, 0, CELLS, all), found = 0, parts = 0;

        for (uint64_t cell = SKETCH_GAUGE_CELLS; cell < CELLS; cell++)
            found += (unsigned)sketch_falls_into(&key, pgno, cell);
        assert_int_equal(found, count);
        for (unsigned i = 0; i < count; i++) {
            assert_in_range(all[i], SKETCH_GAUGE_CELLS, CELLS - 1);
            assert_true(sketch_falls_into(&key, pgno, all[i]));
            for (unsigned k = 0; k < i; k++)
                assert_true(all[i] != all[k]);
        }
        for (uint64_t first = 0; first < CELLS; first += 300)
            parts +=
                sketch_places(&key, pgno, first, first + 300 < CELLS ? first + 300 : CELLS, part);
        assert_int_equal(parts, count);
    }
    sketch_key_init(&key, seed, UINT32_MAX);
    for (uint32_t i = 0; i < 1000; i++)
        assert_true(sketch_places(&key, UINT32_MAX - i, 0, (uint64_t)1 << 32, all) <=
                    SKETCH_PLACES_MAX);
}

/* Each word of the first tier has an anchor of its own, in no cell before that word's; behind the
 * first tier anchors are as other pages. */
static void test_anchors(void **state)
{
    static const uint32_t counts[] = {SKETCH_PAGES_MIN, 10000, UINT32_MAX - 1};
    uint64_t places[SKETCH_PLACES_MAX];
    struct sketch_key key;

    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        sketch_key_init(&key, seed, counts[i]);
        for (int a = 0; a < SKETCH_ANCHORS; a++) {
            uint32_t pgno = key.anchors[a];
            unsigned count = sketch_places(&key, pgno, 0, SKETCH_FIRST_CELLS, places);

            assert_in_range(pgno, 1, counts[i]);
            assert_int_equal(sketch_anchor(&key, pgno), a);
            assert_int_equal(count > 0, a >= 2 * SKETCH_GAUGE_CELLS);
            for (unsigned k = 0; k < count; k++)
                assert_true(k == 0 ? places[k] == (uint64_t)a / 2 : places[k] > (uint64_t)a / 2);
            count += sketch_common_places(&key, pgno, SKETCH_FIRST_CELLS, CELLS, places);
            assert_int_equal(sketch_places(&key, pgno, 0, CELLS, places), count);
        }
    }
}

/* The densities that the estimates start from are those of the mapping. */
static void test_density(void **state)
{
    static const uint64_t ranges[][2] = {{98, 530},    {530, 590},   {1000, 1060},
                                         {2120, 4240}, {2120, 2380}, {3980, 4240}};
    struct sketch_key key;
    uint64_t places[SKETCH_PLACES_MAX];

    (void)state;
    sketch_key_init(&key, seed, 50000);
    for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
        double expected = sketch_density(ranges[i][0], ranges[i][1]) *
                          (double)(ranges[i][1] - ranges[i][0]) * 50000;
        double count = 0;

        for (uint32_t pgno = 1; pgno <= 50000; pgno++)
            count += sketch_places(&key, pgno, ranges[i][0], ranges[i][1], places);
        assert_true(fabs(count / expected - 1) < 0.03);
    }
}

/* Sketch `count` differing pages among `pages`, and estimate their number from the first `cells`
 * cells. */
static struct tally_estimate estimate(uint32_t pages, uint32_t count, uint64_t cells)
{
    struct page_hash *theirs = make_hashes(pages, 1), *own = make_hashes(pages, 1);
    struct sketch_cell *difference = calloc(cells, sizeof(*difference)),
                       *other = calloc(cells, sizeof(*other));
    uint32_t *held = calloc(cells, sizeof(*held));
    uint64_t places[SKETCH_PLACES_MAX];
    struct tally tally = {.pages = pages};
    struct sketch_key key;
    struct sketch sketch;

    assert_true(difference != NULL && other != NULL && held != NULL);
    sketch_key_init(&key, seed, pages);
    for (uint32_t i = 0; i < count; i++)
        own[i].low = mix(~(uint64_t)i);
    sketch_init(&sketch, &key, theirs, cells);
    assert_int_equal(sketch_read(&sketch, 0, cells, difference, NULL), 0);
    sketch_release(&sketch);
    sketch_init(&sketch, &key, own, cells);
    assert_int_equal(sketch_read(&sketch, 0, cells, other, NULL), 0);
    for (uint32_t pgno = 1; pgno <= count; pgno++)
        for (unsigned k = sketch_places(&key, pgno, 0, cells, places); k > 0; k--)
            held[places[k - 1]]++;
    sketch_release(&sketch);
    for (uint64_t cell = 0; cell < cells; cell++) {
        difference[cell].sum ^= other[cell].sum;
        difference[cell].weighted ^= other[cell].weighted;
        if (cell >= SKETCH_GAUGE_CELLS)
            tally_add(&tally, cell,
                      held[cell] == 0   ? TALLY_NONE
                      : held[cell] == 1 ? TALLY_ONE
                                        : TALLY_SEVERAL);
    }
    tally_add_gauge(&tally, difference);
    free(theirs);
    free(own);
    free(difference);
    free(other);
    free(held);
    return tally_estimate(&tally, 1);
}

/* From 530 cells the number is told to within 15 % where it decides on a round trip, to within 40 %
 * elsewhere (3.5 standard deviations), and from many cells nearly exactly. */
static void test_estimate(void **state)
{
    static const struct {
        uint32_t pages, count, cells;
        double within;
    } rows[] = {{10000, 1, 530, 0.9},       {10000, 50, 530, 0.4},     {10000, 300, 530, 0.15},
                {10000, 600, 530, 0.15},    {10000, 1200, 530, 0.15},  {5251, 1200, 530, 0.15},
                {10000, 2000, 530, 0.15},   {100000, 20000, 530, 0.4}, {10000, 10000, 530, 0.4},
                {400000, 300000, 530, 0.4}, {10000, 3000, 2120, 0.12}, {10000, 3000, 4240, 0.1},
                {50000, 20000, 16384, 0.05}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct tally_estimate got = estimate(rows[i].pages, rows[i].count, rows[i].cells);

        assert_true(fabs(got.likely / rows[i].count - 1) < rows[i].within);
        assert_true(got.low <= got.likely && got.likely <= got.high && got.high <= got.highest);
        assert_true(got.low < rows[i].count * 1.01 && got.highest > rows[i].count * 0.99);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_cells), cmocka_unit_test(test_bytes_of_a_cell),
        cmocka_unit_test(test_pieces),       cmocka_unit_test(test_places),
        cmocka_unit_test(test_anchors),      cmocka_unit_test(test_density),
        cmocka_unit_test(test_estimate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
