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
#include "protocol/base/le64.h"
#include "protocol/base/limits.h"
#include "protocol/page/difference.h"
#include "protocol/page/gf64.h"
#include "protocol/page/page_hash.h"
#include "protocol/page/sketch.h"
#include "protocol/wire/message.h"

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
    uint64_t bytes;  /* of cells and hashes */
    uint64_t frames; /* what the messages with these, and those that ask for them, add */
    unsigned round_trips;
};

/* How many bytes the frame of a message has beyond the cells or hashes in it. */
static uint64_t frame_of(const struct message *message, uint64_t content)
{
    struct buffer out;
    uint64_t len;

    buffer_init(&out, LIMIT_FRAME);
    assert_int_equal(message_encode(message, &out, NULL), 0);
    len = out.len;
    buffer_release(&out);
    assert_in_range(len - content, 1, 17);
    return len - content;
}

static uint64_t frame_of_answer(const struct difference_want *part, const struct buffer *bytes)
{
    struct message message = {.type = MESSAGE_CELLS};

    if (part->kind == DIFFERENCE_CELLS) {
        message.cells = (struct message_cells){part->first, bytes->data, (uint32_t)bytes->len};
    } else {
        message.type = MESSAGE_HASHES;
        message.hashes =
            (struct message_hashes){(uint32_t)part->first, bytes->data, (uint32_t)bytes->len};
    }
    return frame_of(&message, bytes->len);
}

static uint64_t frame_of_question(const struct difference_want *want)
{
    struct message message = {.type = MESSAGE_ASK};

    message.ask = (struct message_ask){want->kind == DIFFERENCE_CELLS ? ASK_CELLS : ASK_HASHES,
                                       want->first, want->count};
    return frame_of(&message, 0);
}

/* One flight, described and taken in pieces of at most piece cells or hashes. */
static void exchange(struct difference_describer *describer, struct difference_finder *finder,
                     uint64_t piece, struct cost *cost)
{
    struct difference_want want = difference_finder_want(finder);
    uint64_t end = want.first + want.count;
    enum difference_kind kind = want.kind;
    uint64_t size = kind == DIFFERENCE_CELLS ? DIFFERENCE_CELL_SIZE : DIFFERENCE_HASH_SIZE;

    if (cost->round_trips++ > 0)
        cost->frames += frame_of_question(&want);
    while (want.first < end) {
        struct difference_want part = want;
        struct buffer out;

        part.count = want.count < piece ? want.count : piece;
        part.count = part.count < LIMIT_CHUNK / size ? part.count : LIMIT_CHUNK / size;
        buffer_init(&out, LIMIT_CHUNK);
        assert_int_equal(difference_describe(describer, &part, &out, NULL), 0);
        assert_int_equal(out.len, part.count * size);
        assert_int_equal(difference_finder_add(finder, kind, part.first, out.data, out.len, NULL),
                         0);
        cost->bytes += out.len;
        cost->frames += frame_of_answer(&part, &out);
        want.first += part.count;
        want.count -= part.count;
        if (want.count > 0)
            assert_memory_equal(&(struct difference_want[]){difference_finder_want(finder)}, &want,
                                sizeof(want));
        buffer_release(&out);
    }
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
    while (difference_finder_want(finder).kind != DIFFERENCE_FOUND)
        exchange(describer, finder, piece, &cost);
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
    static const uint32_t page_counts[] = {0, 1, 2, 100, 1060, 1061, 1500, 3000, 5251, 20000};
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
    assert_int_equal(cost.bytes, 8480);
    assert_in_range(cost.frames, 1, 20);
    sides_release(&sides);
}

/* ---- what it costs ---- */

/* How the pages that differ lie. */
enum scatter { RANDOM, TOGETHER, IN_STEPS, SCATTERS };

/* Another hash for `differing` pages, which were all the same. */
static void scatter_pages(struct sides *sides, uint32_t differing, enum scatter scatter)
{
    uint32_t first = (uint32_t)(next_random() % sides->pages), done = 0;
    uint32_t step = differing == 0 ? 1 : sides->pages / differing;

    sides->differing = differing;
    for (uint32_t k = 0; done < differing; k++) {
        uint32_t i =
            (uint32_t)((first + (uint64_t)k * (scatter == IN_STEPS ? step : 1)) % sides->pages);

        if (scatter == RANDOM && 2 * (uint64_t)differing < sides->pages)
            i = (uint32_t)(next_random() % sides->pages);
        else if (scatter == RANDOM && next_random() % sides->pages >= differing)
            continue;
        if (sides->own[i].low != sides->theirs[i].low)
            continue;
        sides->own[i].low = next_random();
        done++;
    }
}

/* One set of pages that differ: it is found exactly, for what difference.h says that it costs. */
static void check_cost(uint64_t seed, uint32_t pages, uint32_t differing, enum scatter scatter)
{
    unsigned trips = 1;
    struct sides sides;
    struct cost cost;

    for (uint64_t reach = 300; reach < differing; reach *= 4)
        trips++;
    sides_init(&sides, seed, pages, 0);
    scatter_pages(&sides, differing, scatter);
    cost = converse(&sides, UINT64_MAX);
    sides_release(&sides);
    if (cost.bytes + cost.frames > 25 * (uint64_t)differing + 8500 ||
        cost.bytes > 8 * (uint64_t)pages || cost.round_trips > trips)
        fail_msg(
            "%u of %u pages (scatter %d, seed %llu): %llu bytes, %llu of frames, %u round trips",
            differing, pages, scatter, (unsigned long long)seed, (unsigned long long)cost.bytes,
            (unsigned long long)cost.frames, cost.round_trips);
}

/* Every page count up to where the description is not a mere list any more, and each that is a
 * bound of something. */
static void test_cost_of_few_pages(void **state)
{
    static const uint32_t bounds[] = {1061, 1062, 1200, 1349, 1500, 2120, 2696, 2697, 5249, 5250};

    (void)state;
    for (uint32_t pages = 1; pages <= 1060; pages++) {
        check_cost(pages, pages, 0, RANDOM);
        check_cost(pages, pages, (uint32_t)(next_random() % (pages + 1)), RANDOM);
        check_cost(pages, pages, pages, RANDOM);
    }
    for (uint32_t pages = 1061; pages <= 3000; pages += 97)
        check_cost(pages, pages, (uint32_t)(next_random() % (pages + 1)), pages % SCATTERS);
    for (size_t b = 0; b < sizeof(bounds) / sizeof(*bounds); b++) {
        const uint32_t counts[] = {0, 1, 300, 530, 531, 1200, 1348, 1349, bounds[b]};

        for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
            if (counts[i] <= bounds[b])
                check_cost(i, bounds[b], counts[i], i % SCATTERS);
    }
}

/* Of a sketch what it costs is true but for a small chance. These sets are always the same ones. */
static void test_cost_of_many_pages(void **state)
{
    static const struct {
        uint32_t pages, differing, sets;
    } rows[] = {{5251, 0, 4},       {5251, 1, 4},      {5251, 10, 4},    {5251, 100, 4},
                {5251, 300, 200},   {5251, 301, 4},    {5251, 600, 8},   {5251, 1190, 150},
                {8000, 3450, 8},    {8000, 2806, 20},  {5251, 1500, 12}, {5251, 1700, 12},
                {5251, 2000, 8},    {5251, 2600, 8},   {5251, 5251, 4},  {7000, 1800, 8},
                {7000, 2300, 8},    {7000, 2900, 8},   {20000, 300, 40}, {20000, 1200, 20},
                {20000, 4800, 4},   {20000, 6500, 4},  {20000, 8000, 4}, {20000, 20000, 2},
                {111302, 25745, 1}, {111302, 40000, 1}};

    (void)state;
    for (size_t r = 0; r < sizeof(rows) / sizeof(*rows); r++)
        for (uint32_t set = 0; set < rows[r].sets; set++)
            check_cost(1000 * r + set, rows[r].pages, rows[r].differing, set % SCATTERS);
    for (uint64_t seed = 0; seed < 40; seed++) {
        uint32_t pages = (uint32_t)(5251 + next_random() % 9000);

        check_cost(seed, pages, (uint32_t)(next_random() % (pages + 1)), seed % SCATTERS);
    }
}

/* Who knew the seed could make it dear: anchors that differ are what the gauge is blind to. It ends
 * well all the same. */
static void test_who_knows_the_seed(void **state)
{
    static const uint32_t counts[] = {100, 196, 300, 1000, SKETCH_ANCHORS};

    (void)state;
    for (size_t c = 0; c < sizeof(counts) / sizeof(*counts); c++) {
        struct sketch_key key;
        struct sides sides;

        sides_init(&sides, c, 6000, 0);
        sides.differing = counts[c];
        sketch_key_init(&key, sides.seed, sides.pages);
        for (uint32_t a = 0; a < counts[c]; a++)
            sides.own[key.anchors[a] - 1].low = next_random();
        converse(&sides, UINT64_MAX);
        sides_release(&sides);
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
        {1060, {DIFFERENCE_HASHES, 1, 1060}},
        {1061, {DIFFERENCE_CELLS, 0, 530}},
        {UINT32_MAX - 1, {DIFFERENCE_CELLS, 0, 530}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct difference_want want = difference_first_flight(rows[i].pages);

        assert_int_equal(want.kind, rows[i].want.kind);
        assert_int_equal(want.first, rows[i].want.first);
        assert_int_equal(want.count, rows[i].want.count);
    }
}

/* Where there are few pages the first flight is the list of their hashes: never more bytes than
 * that. */
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
    static const struct difference_want bad[][2] = {
        {{DIFFERENCE_CELLS, 1, 1}, {DIFFERENCE_CELLS, 1, 1}},
        {{DIFFERENCE_CELLS, 0, 1001}, {DIFFERENCE_CELLS, 0, 3751}},
        {{DIFFERENCE_CELLS, UINT64_MAX, 2}, {DIFFERENCE_CELLS, UINT64_MAX, 2}},
        {{DIFFERENCE_CELLS, 0, UINT64_MAX}, {DIFFERENCE_CELLS, 0, UINT64_MAX}},
        {{DIFFERENCE_HASHES, 0, 1}, {DIFFERENCE_HASHES, 0, 1}},
        {{DIFFERENCE_HASHES, 2, 1}, {DIFFERENCE_HASHES, 1061, 1}},
        {{DIFFERENCE_HASHES, 1, 2001}, {DIFFERENCE_HASHES, 1, 6001}},
        {{DIFFERENCE_HASHES, 1, UINT64_MAX}, {DIFFERENCE_HASHES, 1, UINT64_MAX}},
        {{DIFFERENCE_FOUND, 0, 0}, {DIFFERENCE_FOUND, 0, 0}},
    };
    static const struct difference_want after[] = {
        {DIFFERENCE_CELLS, 0, 530},     {DIFFERENCE_HASHES, 2, 1},
        {DIFFERENCE_HASHES, 1060, 1},   {DIFFERENCE_HASHES, 1062, 1},
        {DIFFERENCE_HASHES, 1061, 941}, {DIFFERENCE_HASHES, 1061, UINT64_MAX},
    };
    const struct difference_want cells = {DIFFERENCE_CELLS, 0, 530};

    (void)state;
    for (int is_large = 0; is_large < 2; is_large++) {
        const struct difference_want hashes = {DIFFERENCE_HASHES, 1061, is_large ? 4940 : 940};
        struct difference_describer *describer;
        struct buffer out, small;
        struct sides sides;

        sides_init(&sides, 1, is_large ? 6000 : 2000, 0);
        buffer_init(&out, 1u << 20);
        buffer_init(&small, 8000);
        assert_int_equal(
            difference_describer_new(&describer, sides.own, sides.pages, sides.seed, NULL), 0);
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
            assert_int_equal(difference_describe(describer, &bad[i][is_large], &out, NULL),
                             ERR_PROTOCOL);
            assert_int_equal(out.len, 0);
        }
        assert_int_equal(difference_describe(describer, &cells, &small, NULL), ERR_INTERNAL);
        assert_int_equal(small.len, 0);
        assert_int_equal(difference_describe(describer, &cells, &out, NULL), 0);
        for (size_t i = 0; i < sizeof(after) / sizeof(*after); i++)
            if (!is_large || after[i].count != 941)
                assert_int_equal(difference_describe(describer, &after[i], &out, NULL),
                                 ERR_PROTOCOL);
        assert_int_equal(difference_describe(describer, &hashes, &out, NULL), 0);
        assert_int_equal(difference_describe(describer, &hashes, &out, NULL), ERR_PROTOCOL);
        assert_int_equal(out.len, 8 * (uint64_t)sides.pages);
        difference_describer_free(describer);
        buffer_release(&small);
        buffer_release(&out);
        sides_release(&sides);
    }
}

/* A sender that does not know about cells: all hashes, in the order of the pages. */
static void test_the_whole_list(void **state)
{
    static const uint32_t counts[] = {1000, 2000, 6000};

    (void)state;
    for (size_t c = 0; c < sizeof(counts) / sizeof(*counts); c++) {
        struct difference_want first = difference_first_flight(counts[c]),
                               all = {DIFFERENCE_HASHES, 1, counts[c]};
        struct difference_describer *describer;
        struct buffer out;
        struct sides sides;

        sides_init(&sides, 1, counts[c], 0);
        buffer_init(&out, 1u << 20);
        assert_int_equal(
            difference_describer_new(&describer, sides.own, sides.pages, sides.seed, NULL), 0);
        if (first.kind == DIFFERENCE_CELLS)
            assert_int_equal(difference_describe(describer, &first, &out, NULL), 0);
        buffer_consume(&out, out.len);
        assert_int_equal(difference_describe(describer, &all, &out, NULL), 0);
        assert_int_equal(out.len, 8 * (size_t)counts[c]);
        for (size_t i = 0; i < counts[c]; i++)
            assert_true(le64_load(out.data + 8 * i) == sides.own[i].low);
        difference_describer_free(describer);
        buffer_release(&out);
        sides_release(&sides);
    }
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
        {2000, DIFFERENCE_CELLS, 0, 531 * 16}, {2000, DIFFERENCE_HASHES, 1, 8},
        {6000, DIFFERENCE_CELLS, 0, 531 * 16}, {6000, DIFFERENCE_HASHES, 1, 8},
        {100, DIFFERENCE_CELLS, 0, 16},        {100, DIFFERENCE_HASHES, 0, 8},
        {100, DIFFERENCE_HASHES, 1, 808},      {100, DIFFERENCE_HASHES, 1, 7},
        {100, DIFFERENCE_FOUND, 1, 8},         {0, DIFFERENCE_FOUND, 0, 8},
    };
    static const uint8_t data[531 * 16];

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

        sides_init(&sides, seed, seed % 2 ? 20000 : 2000, 0);
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
        calloc(530 * 530, sizeof(*pgnos)); /* the last page whose first two cells these are */
    struct sketch_key key;

    assert_non_null(pgnos);
    sketch_key_init(&key, sides->seed, sides->pages);
    for (uint32_t pgno = 1; pgno <= sides->pages; pgno++) {
        unsigned count = sketch_places(&key, pgno, 0, DIFFERENCE_FIRST_CELLS, one);
        uint32_t *last = &pgnos[count < 2 ? 0 : one[0] * 530 + one[1]];

        if (count < 2)
            continue;
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
    sketch_key_init(&key, sides.seed, sides.pages);
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
        cmocka_unit_test(test_cost_of_few_pages),
        cmocka_unit_test(test_cost_of_many_pages),
        cmocka_unit_test(test_who_knows_the_seed),
        cmocka_unit_test(test_two_pages_in_the_same_cells),
        cmocka_unit_test(test_first_flight),
        cmocka_unit_test(test_first_flight_is_never_more_than_the_list),
        cmocka_unit_test(test_describer_refuses),
        cmocka_unit_test(test_the_whole_list),
        cmocka_unit_test(test_finder_refuses),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_cells_that_contradict_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
