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
#include "protocol/page/page_hash.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_equal_sides_take_one_flight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
