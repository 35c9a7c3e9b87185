/*
 * sketch: see sketch.h for the format.
 */
#include "protocol/page/sketch.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/page/gf64.h"
#include "protocol/page/page_hash.h"

#define GOLDEN         0x9e3779b97f4a7c15u
#define FIRST_ORDINARY (SKETCH_FIRST_CELLS - SKETCH_GAUGE_CELLS)
#define SPREAD_LINEAR                                                                              \
    0xa8000000u /* place(): y = u * (LINEAR + QUADRATIC * u), in units of 2^-32                    \
                 */
#define SPREAD_SQUARE 0x58000000u

/* The kinds by word(i) >> 59, and how many cells each falls into: of the first 512, and of each
 * later tier. */
enum kind { PLAIN, SPARSE, DENSE };
static const unsigned kind_ends[] = {18, 26, 32};
static const unsigned kind_fields[] = {3, 3, 7};
static const double kind_per_tier[] = {1.0, 0.5, 6.0};

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

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

void sketch_key_init(struct sketch_key *key, const uint8_t seed[SKETCH_SEED_SIZE])
{
    key->words[0] = load_le64(seed);
    key->words[1] = load_le64(seed + 8);
}

static uint64_t page_word(const struct sketch_key *key, uint32_t pgno)
{
    return mix(mix(pgno + key->words[0]) ^ key->words[1]);
}

static enum kind page_kind(uint64_t word)
{
    unsigned value = (unsigned)(word >> 59);

    return value < kind_ends[PLAIN] ? PLAIN : value < kind_ends[SPARSE] ? SPARSE : DENSE;
}

static uint64_t draw(uint64_t word, uint64_t n)
{
    return mix(word + n * GOLDEN);
}

/* 0 for the first 512 cells, 1 for the next 512, 2 for 1024 to 2047, and so on. */
static unsigned tier_of(uint64_t cell)
{
    return cell < SKETCH_FIRST_CELLS ? 0 : 64 - 9 - (unsigned)__builtin_clzll(cell);
}

uint64_t sketch_tier_end(uint64_t cell)
{
    return (uint64_t)SKETCH_FIRST_CELLS << tier_of(cell);
}

/* Add a cell to the list, unless it is out of range or stands there already, from `since` on. */
static unsigned add_place(uint64_t *places, unsigned since, unsigned count, uint64_t cell,
                          uint64_t first, uint64_t end)
{
    if (cell < first || cell >= end)
        return count;
    for (unsigned i = since; i < count; i++)
        if (places[i] == cell)
            return count;
    places[count] = cell;
    return count + 1;
}

static unsigned places_of_first(uint64_t word, enum kind kind, uint64_t first, uint64_t end,
                                uint64_t *places)
{
    uint64_t fields = draw(word, 1);
    unsigned count = 0;

    for (unsigned f = 0; f < kind_fields[kind]; f++) {
        if (f == 4)
            fields = draw(word, 2);
        count =
            add_place(places, 0, count,
                      SKETCH_GAUGE_CELLS + ((fields & 0xffff) * FIRST_ORDINARY >> 16), first, end);
        fields >>= 16;
    }
    return count;
}

static uint64_t place(unsigned tier, uint32_t u)
{
    uint64_t begin = (uint64_t)SKETCH_FIRST_CELLS << (tier - 1);
    uint64_t y = u * (SPREAD_LINEAR + ((uint64_t)SPREAD_SQUARE * u >> 32)) >> 32;

    return begin + (begin * y >> 32);
}

static unsigned places_of_tier(uint64_t word, enum kind kind, unsigned tier, uint64_t first,
                               uint64_t end, uint64_t *places, unsigned count)
{
    uint64_t drawn = draw(word, 4 * (uint64_t)tier);
    unsigned since = count;

    if (kind == SPARSE && drawn >> 63 != 0)
        return count;
    count = add_place(places, since, count, place(tier, (uint32_t)drawn), first, end);
    if (kind != DENSE)
        return count;
    count = add_place(places, since, count, place(tier, (uint32_t)(drawn >> 32)), first, end);
    for (unsigned n = 1; n <= 2; n++) {
        drawn = draw(word, 4 * (uint64_t)tier + n);
        count = add_place(places, since, count, place(tier, (uint32_t)drawn), first, end);
        count = add_place(places, since, count, place(tier, (uint32_t)(drawn >> 32)), first, end);
    }
    return count;
}

unsigned sketch_places(const struct sketch_key *key, uint32_t pgno, uint64_t first, uint64_t end,
                       uint64_t places[SKETCH_PLACES_MAX])
{
    uint64_t word = page_word(key, pgno);
    enum kind kind = page_kind(word);
    unsigned count = 0, tier, last;

    if (first >= end)
        return 0;
    if (first < SKETCH_FIRST_CELLS)
        count = places_of_first(word, kind, first, end, places);
    last = tier_of(end - 1);
    for (tier = tier_of(first) > 0 ? tier_of(first) : 1; tier <= last; tier++)
        count = places_of_tier(word, kind, tier, first, end, places, count);
    return count;
}

int sketch_falls_into(const struct sketch_key *key, uint32_t pgno, uint64_t cell)
{
    uint64_t places[SKETCH_PLACES_MAX];

    return sketch_places(key, pgno, cell, cell + 1, places) == 1;
}

/* The u, 0 to 1, that place() sends to the share y, 0 to 1, of a tier. */
static double unspread(double y)
{
    const double a = SPREAD_LINEAR / 4294967296.0, b = SPREAD_SQUARE / 4294967296.0;

    return (sqrt(a * a + 4 * b * y) - a) / (2 * b);
}

static double kind_share(int kind)
{
    return (kind_ends[kind] - (kind > PLAIN ? kind_ends[kind - 1] : 0)) / 32.0;
}

double sketch_density(uint64_t first, uint64_t end)
{
    double in_first = 0, per_tier = 0, begin;

    for (int kind = PLAIN; kind <= DENSE; kind++) {
        in_first += kind_share(kind) * kind_fields[kind];
        per_tier += kind_share(kind) * kind_per_tier[kind];
    }
    if (first < SKETCH_FIRST_CELLS)
        return in_first / FIRST_ORDINARY;
    begin = (double)(sketch_tier_end(first) / 2);
    return per_tier * (unspread((double)end / begin - 1) - unspread((double)first / begin - 1)) /
           (double)(end - first);
}

double sketch_places_variance(void)
{
    double mean = 0, square = 0;

    for (int kind = PLAIN; kind <= DENSE; kind++) {
        mean += kind_share(kind) * kind_per_tier[kind];
        square += kind_share(kind) * kind_per_tier[kind] * kind_per_tier[kind];
    }
    return square / (mean * mean) - 1;
}

/* Flip the bit of the gauge, which begins at cells[0], that the page's weighted hash names, if it names one. */
static void gauge_flip(struct sketch_cell *cells, uint64_t weighted)
{
    uint64_t g = mix(weighted);
    unsigned stratum = g == 0 ? 32 : (unsigned)__builtin_ctzll(g) / 2;
    unsigned bit, word;

    if (stratum < 1 || stratum > SKETCH_STRATA)
        return;
    bit = SKETCH_STRATUM_BITS * (stratum - 1) + (unsigned)(g >> 56);
    word = bit / 64;
    if (word % 2 == 0)
        cells[word / 2].sum ^= (uint64_t)1 << bit % 64;
    else
        cells[word / 2].weighted ^= (uint64_t)1 << bit % 64;
}

void sketch_init(struct sketch *sketch, const uint8_t seed[SKETCH_SEED_SIZE],
                 const struct page_hash *hashes, uint32_t pages, uint64_t max)
{
    *sketch = (struct sketch){.hashes = hashes, .pages = pages, .max = max};
    sketch_key_init(&sketch->key, seed);
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
    for (uint32_t i = 0; i < sketch->pages; i++) {
        uint64_t hash = sketch->hashes[i].low;
        uint64_t weighted = gf64_multiply(hash, i + (uint64_t)1);
        unsigned count = sketch_places(&sketch->key, i + 1, first, end, places);

        for (unsigned k = 0; k < count; k++) {
            sketch->cells[places[k] - first].sum ^= hash;
            sketch->cells[places[k] - first].weighted ^= weighted;
        }
        if (first == 0)
            gauge_flip(sketch->cells, weighted);
    }
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
