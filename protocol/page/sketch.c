/*
 * sketch: see sketch.h for the format.
 */
#include "protocol/page/sketch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/base/le64.h"
#include "protocol/page/gf64.h"
#include "protocol/page/page_hash.h"
#include "protocol/page/sketch_rule.h"

#define FINE_STRATA  3 /* of 48 words; the others have 4 */
#define FINE_WORDS   48
#define COARSE_WORDS 4

#define BLOCK 256 /* pages that are gone through together */

double sketch_stratum(unsigned stratum, unsigned *first, unsigned *count)
{
    if (stratum < FINE_STRATA) {
        *first = FINE_WORDS * stratum;
        *count = FINE_WORDS;
        return 1.0 / (1u << stratum);
    }
    *first = FINE_STRATA * FINE_WORDS + COARSE_WORDS * (stratum - FINE_STRATA);
    *count = COARSE_WORDS;
    return 0.75 / 128 / (double)((uint64_t)1 << 2 * (stratum - FINE_STRATA));
}

uint64_t *sketch_word(struct sketch_cell *cells, size_t word)
{
    return word % 2 == 0 ? &cells[word / 2].sum : &cells[word / 2].weighted;
}

/* Where is_meant, which is 0 or 1: flip a bit of the stretch of the gauge that begins with this
 * word. */
static void flip(struct sketch_cell *cells, unsigned word, unsigned bit, uint64_t is_meant)
{
    *sketch_word(cells, word + bit / 64) ^= is_meant << bit % 64;
}

static unsigned fine_bit(uint64_t g)
{
    return (unsigned)((g & 0xffff) * (64 * FINE_WORDS) >> 16);
}

void sketch_flip_gauge(struct sketch_cell *cells, uint64_t weighted)
{
    uint64_t g = sketch_mix(weighted), e;
    unsigned stratum;

    flip(cells, 0, fine_bit(g), 1);
    flip(cells, FINE_WORDS, fine_bit(g >> 16), (g >> 48 & 1) == 0);
    flip(cells, 2 * FINE_WORDS, fine_bit(g >> 32), (g >> 49 & 3) == 0);
    if (g >> 57 != 0)
        return;
    e = sketch_mix(g);
    stratum = e == 0 ? 32 : (unsigned)__builtin_ctzll(e) / 2;
    if (stratum < SKETCH_STRATA - FINE_STRATA)
        flip(cells, FINE_STRATA * FINE_WORDS, 64 * COARSE_WORDS * stratum + (unsigned)(e >> 56), 1);
}

uint64_t sketch_cells_max(uint32_t pages)
{
    return (uint64_t)pages * 5 / 8;
}

void sketch_init(struct sketch *sketch, const struct sketch_key *key,
                 const struct page_hash *hashes, uint64_t max)
{
    *sketch = (struct sketch){.key = key, .hashes = hashes, .max = max};
}

void sketch_forget(struct sketch *sketch)
{
    free(sketch->cells);
    sketch->cells = NULL;
    sketch->first = sketch->end = 0;
}

void sketch_release(struct sketch *sketch)
{
    sketch_forget(sketch);
}

static void add_to_cells(struct sketch_cell *cells, const uint64_t *places, unsigned count,
                         uint64_t hash, uint64_t weighted)
{
    for (unsigned k = 0; k < count; k++) {
        cells[places[k]].sum ^= hash;
        cells[places[k]].weighted ^= weighted;
    }
}

/* What the anchors do otherwise than other pages: they have counted as common pages so far. */
static void set_anchors(const struct sketch *sketch, struct sketch_cell *cells)
{
    uint64_t places[SKETCH_PLACES_MAX];

    for (unsigned a = 0; a < SKETCH_ANCHORS; a++) {
        uint32_t pgno = sketch->key->anchors[a];
        uint64_t hash = sketch->hashes[pgno - 1].low, weighted = gf64_multiply(hash, pgno);
        unsigned count = sketch_common_places(sketch->key, pgno, 0, SKETCH_FIRST_CELLS, places);

        add_to_cells(cells, places, count, hash, weighted);
        if (a < 2 * SKETCH_GAUGE_CELLS) {
            sketch_flip_gauge(cells, weighted);
            *sketch_word(cells, a) ^= hash;
        }
        count = sketch_places(sketch->key, pgno, 0, SKETCH_FIRST_CELLS, places);
        add_to_cells(cells, places, count, hash, weighted);
    }
}

/* ---- one pass over all pages ---- */

/* Some pages that follow each other. */
struct block {
    struct sketch_cell parts[BLOCK]; /* what each adds to its cells */
    uint64_t words[BLOCK];
    uint16_t of_kind[3][BLOCK]; /* indices of the pages of each kind */
    unsigned counts[3];
};

static void fill_block(const struct sketch *sketch, uint32_t first, unsigned count,
                       struct block *block)
{
    uint64_t weighted[BLOCK], numbers[BLOCK];

    memset(block->counts, 0, sizeof(block->counts));
    for (unsigned i = 0; i < count; i++) {
        enum sketch_kind kind;

        block->words[i] = sketch_page_word(sketch->key, first + i);
        kind = sketch_page_kind(block->words[i]);
        block->of_kind[kind][block->counts[kind]++] = (uint16_t)i;
        weighted[i] = sketch->hashes[first + i - 1].low;
        numbers[i] = first + (uint64_t)i;
    }
    gf64_multiply_each(weighted, numbers, count);
    for (unsigned i = 0; i < count; i++)
        block->parts[i] = (struct sketch_cell){sketch->hashes[first + i - 1].low, weighted[i]};
}

/* Two words as one: half the loads and stores of what a pass does most. */
typedef uint64_t word_pair __attribute__((vector_size(16), aligned(8), may_alias));

/* Add page i of the block to a cell, if that is at hand. */
static inline void add_page(struct sketch *sketch, const struct block *block, unsigned i,
                            uint64_t place)
{
    uint64_t at = place - sketch->first;

    if (at < sketch->end - sketch->first)
        *(word_pair *)&sketch->cells[at] ^= *(const word_pair *)&block->parts[i];
}

/* To each of count cells, once. Nearly always they are different ones, which is seen without a
 * branch for each two. */
static inline void add_page_to(struct sketch *sketch, const struct block *block, unsigned i,
                               const uint64_t *places, unsigned count)
{
    int is_twice = 0;

    for (unsigned k = 1; k < count; k++)
        for (unsigned before = 0; before < k; before++)
            is_twice |= places[before] == places[k];
    for (unsigned k = 0; k < count; k++) {
        unsigned before = is_twice ? 0 : k;

        while (before < k && places[before] != places[k])
            before++;
        if (before == k)
            add_page(sketch, block, i, places[k]);
    }
}

static void add_to_first_tier(struct sketch *sketch, const struct block *block, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t drawn = sketch_draw(block->words[i], 1), places[7];

        for (unsigned f = 0; f < 3; f++)
            places[f] = sketch_field_place(drawn, f);
        if (sketch_page_kind(block->words[i]) != DENSE) {
            add_page_to(sketch, block, i, places, 3);
            continue;
        }
        places[3] = sketch_field_place(drawn, 3);
        drawn = sketch_draw(block->words[i], 2);
        for (unsigned f = 4; f < 7; f++)
            places[f] = sketch_field_place(drawn, f);
        add_page_to(sketch, block, i, places, 7);
    }
    for (unsigned i = 0; i < count; i++)
        sketch_flip_gauge(sketch->cells, block->parts[i].weighted);
}

/* Tier t, the cells of which begin with `begin`. */
static void add_to_tier(struct sketch *sketch, const struct block *block, uint64_t t,
                        uint64_t begin)
{
    for (unsigned k = 0; k < block->counts[PLAIN]; k++) {
        unsigned i = block->of_kind[PLAIN][k];

        add_page(sketch, block, i,
                 sketch_place(begin, (uint32_t)sketch_draw(block->words[i], 4 * t)));
    }
    for (unsigned k = 0; k < block->counts[SPARSE]; k++) {
        unsigned i = block->of_kind[SPARSE][k];
        uint64_t drawn = sketch_draw(block->words[i], 4 * t);

        /* The place behind all cells is that of no cell. */
        add_page(sketch, block, i, drawn >> 63 ? UINT64_MAX : sketch_place(begin, (uint32_t)drawn));
    }
    for (unsigned k = 0; k < block->counts[DENSE]; k++) {
        unsigned i = block->of_kind[DENSE][k];
        uint64_t places[6];

        for (unsigned n = 0; n < 3; n++) {
            uint64_t drawn = sketch_draw(block->words[i], 4 * t + n);

            places[2 * n] = sketch_place(begin, (uint32_t)drawn);
            places[2 * n + 1] = sketch_place(begin, (uint32_t)(drawn >> 32));
        }
        add_page_to(sketch, block, i, places, 6);
    }
}

/* Have cells first to end - 1 at hand, and those alone. One pass over all pages. */
static int make_cells(struct sketch *sketch, uint64_t first, uint64_t end, struct error *error)
{
    struct block block;

    sketch_forget(sketch);
    sketch->cells = calloc(end - first, sizeof(*sketch->cells));
    if (sketch->cells == NULL)
        return error_set(error, ERR_INTERNAL, "no memory for %llu cells of a sketch",
                         (unsigned long long)(end - first));
    sketch->first = first;
    sketch->end = end;
    for (uint64_t pgno = 1; pgno <= sketch->key->pages; pgno += BLOCK) {
        uint64_t left = sketch->key->pages - pgno + 1;
        unsigned count = left < BLOCK ? (unsigned)left : BLOCK;

        fill_block(sketch, (uint32_t)pgno, count, &block);
        if (first == 0)
            add_to_first_tier(sketch, &block, count);
        for (uint64_t t = 1, begin = SKETCH_FIRST_CELLS; begin < end; t++, begin *= 2)
            if (2 * begin > first)
                add_to_tier(sketch, &block, t, begin);
    }
    if (first == 0)
        set_anchors(sketch, sketch->cells);
    return 0;
}

int sketch_read(struct sketch *sketch, uint64_t first, size_t count, struct sketch_cell *out,
                struct error *error)
{
    assert(first <= sketch->max && count <= sketch->max - first);
    while (count > 0) {
        size_t here;

        if (first < sketch->first || first >= sketch->end) {
            uint64_t end = sketch_tier_end(first + count - 1);
            int code = make_cells(sketch, first < SKETCH_FIRST_CELLS ? 0 : first,
                                  end < sketch->max ? end : sketch->max, error);

            if (code != 0)
                return code;
        }
        here = sketch->end - first < count ? (size_t)(sketch->end - first) : count;
        memcpy(out, sketch->cells + (first - sketch->first), here * sizeof(*out));
        out += here;
        first += here;
        count -= here;
    }
    return 0;
}

void sketch_store(const struct sketch_cell *cells, size_t count, uint8_t *bytes)
{
    for (size_t i = 0; i < count; i++) {
        le64_store(bytes + 16 * i, cells[i].sum);
        le64_store(bytes + 16 * i + 8, cells[i].weighted);
    }
}

void sketch_load(struct sketch_cell *cells, size_t count, const uint8_t *bytes)
{
    for (size_t i = 0; i < count; i++) {
        cells[i].sum = le64_load(bytes + 16 * i);
        cells[i].weighted = le64_load(bytes + 16 * i + 8);
    }
}
