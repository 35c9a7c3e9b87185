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

#define CELLS 4096

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
        {0, 0x30204b100102e004, 0x0422000000810040},
        {1, 0xa0092a0404410000, 0x8844230005000160},
        {15, 0x0000000000000000, 0x0000000000000000},
        {16, 0, 0},
        {17, 0x40ad0773951e0dd9, 0xfaf9269f605f5140},
        {300, 0x212cbcfc7fa52939, 0x16dec8509c15d7ac},
        {511, 0xf99b7bfe4963592d, 0x49e443a216908653},
        {512, 0, 0},
        {700, 0xcc2292573bacaa54, 0x6d54198a4deb71fb},
        {1023, 0x233321bac74b2bde, 0xdcc7cb818bbbbed9},
        {2047, 0x1062c20df06ee6bf, 0x4bff6956ca8926c1},
        {4095, 0, 0},
    };
    struct page_hash *hashes = make_hashes(300, 0x5eed);
    struct sketch_cell *cells = calloc(CELLS, sizeof(*cells));
    uint64_t digest = 0xcbf29ce484222325;
    struct sketch sketch;

    (void)state;
    assert_non_null(cells);
    sketch_init(&sketch, seed, hashes, 300, CELLS);
    assert_int_equal(sketch_read(&sketch, 0, CELLS, cells, NULL), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        assert_true(cells[rows[i].cell].sum == rows[i].sum);
        assert_true(cells[rows[i].cell].weighted == rows[i].weighted);
    }
    for (size_t i = 0; i < CELLS; i++) { /* FNV-1a, a word at a time */
        digest = (digest ^ cells[i].sum) * 0x100000001b3;
        digest = (digest ^ cells[i].weighted) * 0x100000001b3;
    }
    assert_true(digest == 0xeb811b8ef627475b);
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
    } pieces[] = {{0, 1},       {1, 600},  {601, 3},  {3, 5},    {511, 2},
                  {1000, 3096}, {4095, 1}, {2048, 1}, {16, 4080}};
    struct page_hash *hashes = make_hashes(1000, 1);
    struct sketch_cell *whole = calloc(CELLS, sizeof(*whole)),
                       *piece = calloc(CELLS, sizeof(*piece));
    struct sketch sketch;

    (void)state;
    assert_true(whole != NULL && piece != NULL);
    sketch_init(&sketch, seed, hashes, 1000, CELLS);
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
    sketch_key_init(&key, seed);
    for (uint32_t pgno = 1; pgno <= 200; pgno++) {
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
    for (uint32_t i = 0; i < 1000; i++)
        assert_true(sketch_places(&key, UINT32_MAX - i, 0, (uint64_t)1 << 32, all) <=
                    SKETCH_PLACES_MAX);
}

/* The densities that the estimates start from are those of the mapping. */
static void test_density(void **state)
{
    static const uint64_t ranges[][2] = {{16, 512},    {512, 576},   {960, 1024},
                                         {2048, 4096}, {2048, 2304}, {3840, 4096}};
    struct sketch_key key;
    uint64_t places[SKETCH_PLACES_MAX];

    (void)state;
    sketch_key_init(&key, seed);
    for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
        double expected = sketch_density(ranges[i][0], ranges[i][1]) *
                          (double)(ranges[i][1] - ranges[i][0]) * 50000;
        double count = 0;

        for (uint32_t pgno = 1; pgno <= 50000; pgno++)
            count += sketch_places(&key, pgno, ranges[i][0], ranges[i][1], places);
        assert_true(fabs(count / expected - 1) < 0.03);
    }
}

/* Sketch `count` differing pages among as many, and estimate their number from the first `cells`
 * cells. */
static struct tally_estimate estimate(uint32_t count, uint64_t cells)
{
    struct page_hash *theirs = make_hashes(count, 1), *own = make_hashes(count, (uint64_t)1 << 40);
    struct sketch_cell *difference = calloc(cells, sizeof(*difference)),
                       *other = calloc(cells, sizeof(*other));
    uint32_t *held = calloc(cells, sizeof(*held));
    uint64_t places[SKETCH_PLACES_MAX];
    struct tally tally = {0};
    struct sketch sketch;

    assert_true(difference != NULL && other != NULL && held != NULL);
    sketch_init(&sketch, seed, theirs, count, cells);
    assert_int_equal(sketch_read(&sketch, 0, cells, difference, NULL), 0);
    sketch_release(&sketch);
    sketch_init(&sketch, seed, own, count, cells);
    assert_int_equal(sketch_read(&sketch, 0, cells, other, NULL), 0);
    for (uint32_t pgno = 1; pgno <= count; pgno++)
        for (unsigned k = sketch_places(&sketch.key, pgno, 0, cells, places); k > 0; k--)
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
    return tally_estimate(&tally, 1, 1e9);
}

/* From 512 cells the number is told to within 40 % (3.5 standard deviations), from many cells
 * nearly exactly. */
static void test_estimate(void **state)
{
    static const struct {
        uint32_t count, cells;
        double within;
    } rows[] = {{1, 512, 0.9},      {50, 512, 0.4},    {500, 512, 0.25},
                {2000, 512, 0.4},   {20000, 512, 0.4}, {300000, 512, 0.4},
                {3000, 2048, 0.12}, {3000, 4096, 0.1}, {20000, 16384, 0.05}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct tally_estimate got = estimate(rows[i].count, rows[i].cells);

        assert_true(fabs(got.likely / rows[i].count - 1) < rows[i].within);
        assert_true(got.low <= got.likely && got.likely <= got.high);
        assert_true(got.low < rows[i].count * 1.01 && got.high > got.low * 1.05);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_cells), cmocka_unit_test(test_bytes_of_a_cell),
        cmocka_unit_test(test_pieces),       cmocka_unit_test(test_places),
        cmocka_unit_test(test_density),      cmocka_unit_test(test_estimate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
