/* difference: describers and finders speaking to each other, and a finder that is told nonsense. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/page/difference.h"
#include "protocol/page/gf64.h"
#include "protocol/page/page_hash.h"
#include "protocol/page/sketch.h"

/* Repeatable random numbers (SplitMix64). */
static uint64_t random_state;

static uint64_t next_random(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Two sides whose pages are the same, but for `differing` of them. */
struct sides {
    uint32_t pages, differing;
    uint8_t seed[DIFFERENCE_SEED_SIZE];
    struct page_hash *theirs, *own;
};

static void sides_init(struct sides *sides, uint64_t seed, uint32_t pages, uint32_t differing)
{
    random_state = seed;
    sides->pages = pages;
    sides->differing = differing;
    sides->theirs = calloc(pages + 1, sizeof(*sides->theirs));
    sides->own = calloc(pages + 1, sizeof(*sides->own));
    assert_true(sides->theirs != NULL && sides->own != NULL);
    for (int i = 0; i < DIFFERENCE_SEED_SIZE; i++)
        sides->seed[i] = (uint8_t)next_random();
    for (uint32_t i = 0; i < pages; i++)
        sides->own[i].low = sides->theirs[i].low = next_random();
    while (differing > 0) {
        uint32_t i = (uint32_t)(next_random() % pages);

        if (sides->own[i].low != sides->theirs[i].low)
            continue;
        sides->own[i].low = next_random();
        differing--;
    }
}

static void sides_release(struct sides *sides)
{
    free(sides->theirs);
    free(sides->own);
}

/* What a conversation cost. */
struct cost {
    uint64_t bytes;
    unsigned round_trips;
};

/* One flight, described and taken in pieces of at most piece cells or hashes. */
static uint64_t exchange(struct difference_describer *describer, struct difference_finder *finder,
                         uint64_t piece)
{
    struct difference_want want = difference_finder_want(finder);
    uint64_t end = want.first + want.count, bytes = 0;
    enum difference_kind kind = want.kind;

    while (want.first < end) {
        struct difference_want part = want;
        struct buffer out;

        part.count = want.count < piece ? want.count : piece;
        buffer_init(&out, 1u << 30);
        assert_int_equal(difference_describe(describer, &part, &out, NULL), 0);
        assert_int_equal(out.len, part.count * (kind == DIFFERENCE_CELLS ? DIFFERENCE_CELL_SIZE
                                                                         : DIFFERENCE_HASH_SIZE));
        assert_int_equal(difference_finder_add(finder, kind, part.first, out.data, out.len, NULL),
                         0);
        bytes += out.len;
        want.first += part.count;
        want.count -= part.count;
        if (want.count > 0)
            assert_memory_equal(&(struct difference_want[]){difference_finder_want(finder)}, &want,
                                sizeof(want));
        buffer_release(&out);
    }
    return bytes;
}

static struct cost converse(const struct sides *sides, uint64_t piece)
{
    struct difference_describer *describer;
    struct difference_finder *finder;
    const struct difference_page *found;
    struct cost cost = {0};
    size_t count, at = 0;

    assert_int_equal(
        difference_describer_new(&describer, sides->theirs, sides->pages, sides->seed, NULL), 0);
    assert_int_equal(difference_finder_new(&finder, sides->own, sides->pages, sides->seed, NULL),
                     0);
    for (; difference_finder_want(finder).kind != DIFFERENCE_FOUND; cost.round_trips++)
        cost.bytes += exchange(describer, finder, piece);
    found = difference_finder_pages(finder, &count);
    assert_int_equal(count, sides->differing);
    for (uint32_t i = 0; i < sides->pages; i++) {
        if (sides->own[i].low == sides->theirs[i].low)
            continue;
        assert_true(at < count);
        assert_int_equal(found[at].pgno, i + 1);
        assert_true(found[at++].their_hash == sides->theirs[i].low);
    }
    difference_finder_free(finder);
    difference_describer_free(describer);
    return cost;
}

/* Every count of pages and differences ends with exactly the true set, in one piece or several. */
static void test_exact(void **state)
{
    static const uint32_t page_counts[] = {0, 1, 2, 100, 1024, 1025, 1500, 3000, 20000};
    static const uint32_t shares[] = {0,   1,   2,   10,  100, 200,
                                      300, 400, 450, 600, 1000}; /* of 1000 */

    (void)state;
    for (size_t p = 0; p < sizeof(page_counts) / sizeof(*page_counts); p++) {
        for (size_t s = 0; s < sizeof(shares) / sizeof(*shares); s++) {
            struct sides sides;

            sides_init(&sides, 100 * p + s, page_counts[p],
                       (uint32_t)((uint64_t)page_counts[p] * shares[s] / 1000));
            converse(&sides, UINT64_MAX);
            converse(&sides, 100);
            sides_release(&sides);
        }
    }
}

static void test_equal_sides_take_one_flight(void **state)
{
    struct sides sides;
    struct cost cost;

    (void)state;
    sides_init(&sides, 1, 50000, 0);
    cost = converse(&sides, UINT64_MAX);
    assert_int_equal(cost.round_trips, 1);
    assert_int_equal(cost.bytes, 8192);
    sides_release(&sides);
}

/*
 * What finding the pages may cost: 25 bytes for each and 8500, one round trip up to 300 and one
 * more for each factor of four, and not more than the flat list behind a first flight. The sets are
 * always the same ones.
 */
static void test_cost(void **state)
{
    static const struct {
        uint32_t pages, differing, sets;
    } rows[] = {{20000, 1, 5},      {20000, 10, 5},    {20000, 100, 10},   {20000, 300, 100},
                {20000, 340, 20},   {20000, 1000, 20}, {20000, 1200, 20},  {20000, 3000, 10},
                {20000, 4800, 10},  {20000, 20000, 2}, {111292, 10000, 2}, {111292, 25745, 2},
                {111292, 37000, 1}, {1100, 1, 5},      {1100, 500, 5}};

    (void)state;
    for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++) {
        for (uint32_t set = 0; set < rows[r].sets; set++) {
            uint64_t sketch_most = 25 * (uint64_t)rows[r].differing + 8500;
            uint64_t list_most = 8 * (uint64_t)rows[r].pages + 8192;
            unsigned trips_most = 1;
            struct sides sides;
            struct cost cost;

            for (uint32_t reach = 300; reach < rows[r].differing; reach *= 4)
                trips_most++;
            sides_init(&sides, 1000 * r + set, rows[r].pages, rows[r].differing);
            cost = converse(&sides, UINT64_MAX);
            sides_release(&sides);
            assert_in_range(cost.bytes, 1, sketch_most > list_most ? sketch_most : list_most);
            assert_true(cost.bytes <= sketch_most || cost.bytes <= list_most);
            assert_in_range(cost.round_trips, 1, trips_most);
        }
    }
}

static void test_first_flight(void **state)
{
    static const struct {
        uint32_t pages;
        struct difference_want want;
    } rows[] = {
        {0, {DIFFERENCE_FOUND, 0, 0}},
        {1, {DIFFERENCE_HASHES, 1, 1}},
        {1024, {DIFFERENCE_HASHES, 1, 1024}},
        {1025, {DIFFERENCE_CELLS, 0, 512}},
        {UINT32_MAX - 1, {DIFFERENCE_CELLS, 0, 512}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct difference_want want = difference_first_flight(rows[i].pages);

        assert_int_equal(want.kind, rows[i].want.kind);
        assert_int_equal(want.first, rows[i].want.first);
        assert_int_equal(want.count, rows[i].want.count);
    }
}

/* Where there are few pages the first flight is the list of their hashes: never more bytes than that. */
static void test_first_flight_is_never_more_than_the_list(void **state)
{
    (void)state;
    for (uint32_t pages = 1; pages <= 2000; pages++) {
        struct difference_want want = difference_first_flight(pages);
        uint64_t unit = want.kind == DIFFERENCE_CELLS ? DIFFERENCE_CELL_SIZE : DIFFERENCE_HASH_SIZE;

        assert_in_range(want.count * unit, 1, (uint64_t)pages * DIFFERENCE_HASH_SIZE);
    }
}

/* What a peer may not ask of a describer; and that what was refused leaves no trace. */
static void test_describer_refuses(void **state)
{
    static const struct difference_want bad[] = {
        {DIFFERENCE_CELLS, 1, 1},          {DIFFERENCE_CELLS, 0, 2000 * 5 / 8 + 1},
        {DIFFERENCE_CELLS, UINT64_MAX, 2}, {DIFFERENCE_CELLS, 0, UINT64_MAX},
        {DIFFERENCE_HASHES, 0, 1},         {DIFFERENCE_HASHES, 2, 1},
        {DIFFERENCE_HASHES, 1, 2001},      {DIFFERENCE_HASHES, 1, UINT64_MAX},
        {DIFFERENCE_FOUND, 0, 0},
    };
    const struct difference_want cells = {DIFFERENCE_CELLS, 0, 512},
                                 hashes = {DIFFERENCE_HASHES, 1, 2000},
                                 more = {DIFFERENCE_CELLS, 512, 1};
    struct difference_describer *describer;
    struct buffer out, small;
    struct sides sides;

    (void)state;
    sides_init(&sides, 1, 2000, 0);
    buffer_init(&out, 1u << 20);
    buffer_init(&small, 8000);
    assert_int_equal(difference_describer_new(&describer, sides.own, sides.pages, sides.seed, NULL),
                     0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(difference_describe(describer, &bad[i], &out, NULL), ERR_PROTOCOL);
        assert_int_equal(out.len, 0);
    }
    assert_int_equal(difference_describe(describer, &cells, &small, NULL), ERR_INTERNAL);
    assert_int_equal(small.len, 0);
    assert_int_equal(difference_describe(describer, &cells, &out, NULL), 0);
    assert_int_equal(difference_describe(describer, &cells, &out, NULL), ERR_PROTOCOL);
    assert_int_equal(difference_describe(describer, &hashes, &out, NULL), 0);
    assert_int_equal(difference_describe(describer, &more, &out, NULL), ERR_PROTOCOL);
    assert_int_equal(out.len, 8192 + 16000);
    difference_describer_free(describer);
    buffer_release(&small);
    buffer_release(&out);
    sides_release(&sides);
}

/* What a peer may not say to a finder. */
static void test_finder_refuses(void **state)
{
    static const struct {
        uint32_t pages;
        enum difference_kind kind;
        uint64_t first;
        size_t len;
    } rows[] = {
        {2000, DIFFERENCE_CELLS, 1, 16},       {2000, DIFFERENCE_CELLS, 0, 0},
        {2000, DIFFERENCE_CELLS, 0, 15},       {2000, DIFFERENCE_CELLS, 0, 17},
        {2000, DIFFERENCE_CELLS, 0, 513 * 16}, {2000, DIFFERENCE_HASHES, 1, 8},
        {100, DIFFERENCE_CELLS, 0, 16},        {100, DIFFERENCE_HASHES, 0, 8},
        {100, DIFFERENCE_HASHES, 1, 808},      {100, DIFFERENCE_HASHES, 1, 7},
        {100, DIFFERENCE_FOUND, 1, 8},         {0, DIFFERENCE_FOUND, 0, 8},
    };
    static const uint8_t data[513 * 16];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct difference_finder *finder;
        struct sides sides;

        sides_init(&sides, 1, rows[i].pages, 0);
        assert_int_equal(difference_finder_new(&finder, sides.own, sides.pages, sides.seed, NULL),
                         0);
        assert_int_equal(
            difference_finder_add(finder, rows[i].kind, rows[i].first, data, rows[i].len, NULL),
            ERR_PROTOCOL);
        difference_finder_free(finder);
        sides_release(&sides);
    }
}

/* Random cells and hashes: few flights, then an end, with some set that the root will refuse. */
static void test_garbage(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct difference_finder *finder;
        struct difference_want want;
        unsigned flights = 0;
        struct sides sides;

        sides_init(&sides, seed, 20000, 0);
        assert_int_equal(difference_finder_new(&finder, sides.own, sides.pages, sides.seed, NULL),
                         0);
        while ((want = difference_finder_want(finder)).kind != DIFFERENCE_FOUND) {
            size_t len = want.count * (want.kind == DIFFERENCE_CELLS ? DIFFERENCE_CELL_SIZE
                                                                     : DIFFERENCE_HASH_SIZE);
            uint8_t *garbage = malloc(len);

            assert_non_null(garbage);
            for (size_t i = 0; i < len; i++)
                garbage[i] = (uint8_t)(next_random() >> 56);
            assert_int_equal(
                difference_finder_add(finder, want.kind, want.first, garbage, len, NULL), 0);
            free(garbage);
            assert_true(++flights < 40);
        }
        difference_finder_free(finder);
        sides_release(&sides);
    }
}

/* The first two pages, of a seed, that fall into the very same cells of the first flight: no cell
 * holds one alone. */
static void find_twins(const struct sides *sides, uint32_t twins[2])
{
    uint64_t one[SKETCH_PLACES_MAX], other[SKETCH_PLACES_MAX];
    uint32_t *pgnos =
        calloc(512 * 512, sizeof(*pgnos)); /* the last page whose first two cells these are */
    struct sketch_key key;

    assert_non_null(pgnos);
    sketch_key_init(&key, sides->seed);
    for (uint32_t pgno = 1; pgno <= sides->pages; pgno++) {
        unsigned count = sketch_places(&key, pgno, 0, DIFFERENCE_FIRST_CELLS, one);
        uint32_t *last = &pgnos[one[0] * 512 + one[1]];

        if (*last != 0 && sketch_places(&key, *last, 0, DIFFERENCE_FIRST_CELLS, other) == count &&
            memcmp(one, other, count * sizeof(*one)) == 0) {
            twins[0] = *last;
            twins[1] = pgno;
            free(pgnos);
            return;
        }
        *last = pgno;
    }
    fail_msg("no two pages share all cells");
}

static void test_two_pages_in_the_same_cells(void **state)
{
    uint32_t twins[2];
    struct sides sides;

    (void)state;
    sides_init(&sides, 1, 50000, 0);
    find_twins(&sides, twins);
    sides.own[twins[0] - 1].low ^= 5;
    sides.own[twins[1] - 1].low ^= 6;
    sides.differing = 2;
    assert_int_equal(converse(&sides, UINT64_MAX).round_trips, 1);
    sides_release(&sides);
}

/* Two cells that each claim another old hash of one page: taking it out of one puts it back into
 * the other. */
static void test_cells_that_contradict_each_other(void **state)
{
    uint64_t places[SKETCH_PLACES_MAX];
    struct difference_describer *describer;
    const struct difference_want first_flight = {DIFFERENCE_CELLS, 0, DIFFERENCE_FIRST_CELLS};
    struct difference_finder *finder;
    struct error error = {0};
    struct sketch_key key;
    struct sides sides;
    struct buffer out;

    (void)state;
    sides_init(&sides, 1, 50000, 0);
    buffer_init(&out, 1u << 20);
    assert_int_equal(
        difference_describer_new(&describer, sides.theirs, sides.pages, sides.seed, NULL), 0);
    assert_int_equal(difference_describe(describer, &first_flight, &out, NULL), 0);
    sketch_key_init(&key, sides.seed);
    assert_true(sketch_places(&key, 77, 0, DIFFERENCE_FIRST_CELLS, places) >= 2);
    for (uint64_t i = 0; i < 2; i++) {
        struct sketch_cell cell;

        sketch_load(&cell, 1, out.data + places[i] * DIFFERENCE_CELL_SIZE);
        cell.sum ^= i + 1;
        cell.weighted ^= gf64_multiply(i + 1, 77);
        sketch_store(&cell, 1, out.data + places[i] * DIFFERENCE_CELL_SIZE);
    }
    assert_int_equal(difference_finder_new(&finder, sides.own, sides.pages, sides.seed, NULL), 0);
    assert_int_equal(difference_finder_add(finder, DIFFERENCE_CELLS, 0, out.data, out.len, &error),
                     ERR_PROTOCOL);
    assert_non_null(strstr(error.text, "makes no sense"));
    difference_finder_free(finder);
    difference_describer_free(describer);
    buffer_release(&out);
    sides_release(&sides);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_equal_sides_take_one_flight),
        cmocka_unit_test(test_cost),
        cmocka_unit_test(test_two_pages_in_the_same_cells),
        cmocka_unit_test(test_first_flight),
        cmocka_unit_test(test_first_flight_is_never_more_than_the_list),
        cmocka_unit_test(test_describer_refuses),
        cmocka_unit_test(test_finder_refuses),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_cells_that_contradict_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
