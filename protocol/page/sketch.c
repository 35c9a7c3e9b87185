/*
 * sketch: see sketch.h for the format.
 */
#include "protocol/page/sketch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/page/gf64.h"
#include "protocol/page/page_hash.h"

#define FINE_STRATA  3 /* of 48 words; the others have 4 */
#define FINE_WORDS   48
#define COARSE_WORDS 4

static uint64_t load_le64(const uint8_t *bytes)
{
    uint64_t value = 0;

    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

static void store_le64(uint8_t *bytes, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
}

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

/* Flip a bit of the stretch of the gauge that begins with this word. */
static void flip(struct sketch_cell *cells, unsigned word, unsigned bit)
{
    *sketch_word(cells, word + bit / 64) ^= (uint64_t)1 << bit % 64;
}

static unsigned fine_bit(uint64_t g)
{
    return (unsigned)((g & 0xffff) * (64 * FINE_WORDS) >> 16);
}

void sketch_flip_gauge(struct sketch_cell *cells, uint64_t weighted)
{
    uint64_t g = sketch_mix(weighted), e;
    unsigned stratum;

    flip(cells, 0, fine_bit(g));
    if ((g >> 48 & 1) == 0)
        flip(cells, FINE_WORDS, fine_bit(g >> 16));
    if ((g >> 49 & 3) == 0)
        flip(cells, 2 * FINE_WORDS, fine_bit(g >> 32));
    if (g >> 57 != 0)
        return;
    e = sketch_mix(g);
    stratum = e == 0 ? 32 : (unsigned)__builtin_ctzll(e) / 2;
    if (stratum < SKETCH_STRATA - FINE_STRATA)
        flip(cells, FINE_STRATA * FINE_WORDS, 64 * COARSE_WORDS * stratum + (unsigned)(e >> 56));
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

/* Have cells first to end - 1 at hand, and those alone. One pass over all pages. */
static int make_cells(struct sketch *sketch, uint64_t first, uint64_t end, struct error *error)
{
    uint64_t places[SKETCH_PLACES_MAX];

    sketch_forget(sketch);
    sketch->cells = calloc(end - first, sizeof(*sketch->cells));
    if (sketch->cells == NULL)
        return error_set(error, ERR_INTERNAL, "no memory for %llu cells of a sketch",
                         (unsigned long long)(end - first));
    sketch->first = first;
    sketch->end = end;
    for (uint32_t i = 0; i < sketch->key->pages; i++) {
        uint64_t hash = sketch->hashes[i].low;
        uint64_t weighted = gf64_multiply(hash, i + (uint64_t)1);
        unsigned count = sketch_common_places(sketch->key, i + 1, first, end, places);

        for (unsigned k = 0; k < count; k++) {
            sketch->cells[places[k] - first].sum ^= hash;
            sketch->cells[places[k] - first].weighted ^= weighted;
        }
        if (first == 0)
            sketch_flip_gauge(sketch->cells, weighted);
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
        store_le64(bytes + 16 * i, cells[i].sum);
        store_le64(bytes + 16 * i + 8, cells[i].weighted);
    }
}

void sketch_load(struct sketch_cell *cells, size_t count, const uint8_t *bytes)
{
    for (size_t i = 0; i < count; i++) {
        cells[i].sum = load_le64(bytes + 16 * i);
        cells[i].weighted = load_le64(bytes + 16 * i + 8);
    }
}
