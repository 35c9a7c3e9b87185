/*
 * sketch_key: see sketch_key.h for the rules.
 */
#include "protocol/page/sketch_key.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define GOLDEN         0x9e3779b97f4a7c15u
#define FIRST_ORDINARY (SKETCH_FIRST_CELLS - SKETCH_GAUGE_CELLS)
#define SAMPLE         2000
#define SPREAD_LINEAR                                                                              \
    0xa8000000u /* place(): y = u * (LINEAR + QUADRATIC * u), in units of 2^-32                    \
                 */
#define SPREAD_SQUARE 0x58000000u

/* The kinds by word(i) >> 59, and how many cells each falls into: of the first tier, and of each
 * later one. */
enum kind { PLAIN, SPARSE, DENSE };
static const unsigned kind_ends[] = {18, 26, 32};
static const unsigned kind_fields[] = {3, 3, 7};
static const double kind_per_tier[] = {1.0, 0.5, 6.0};

uint64_t sketch_mix(uint64_t x)
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

static unsigned slot_of(uint32_t pgno)
{
    return pgno * 0x9e3779b1u >> 20; /* of the 4096 */
}

int sketch_anchor(const struct sketch_key *key, uint32_t pgno)
{
    for (unsigned slot = slot_of(pgno); key->slots[slot] != 0; slot = (slot + 1) % 4096)
        if (key->anchors[key->slots[slot] - 1] == pgno)
            return key->slots[slot] - 1;
    return -1;
}

void sketch_key_init(struct sketch_key *key, const uint8_t seed[SKETCH_SEED_SIZE], uint32_t pages)
{
    unsigned count = 0;

    assert(pages >= SKETCH_PAGES_MIN);
    memset(key, 0, sizeof(*key));
    key->words[0] = load_le64(seed);
    key->words[1] = load_le64(seed + 8);
    key->pages = pages;
    for (uint64_t j = 0; count < SKETCH_ANCHORS; j++) {
        uint64_t drawn = sketch_mix(sketch_mix(j + key->words[1]) ^ key->words[0]);
        uint32_t pgno = (uint32_t)(1 + ((drawn >> 32) * pages >> 32));
        unsigned slot = slot_of(pgno);

        if (sketch_anchor(key, pgno) >= 0)
            continue;
        while (key->slots[slot] != 0)
            slot = (slot + 1) % 4096;
        key->anchors[count++] = pgno;
        key->slots[slot] = (uint16_t)count;
    }
}

static uint64_t page_word(const struct sketch_key *key, uint32_t pgno)
{
    return sketch_mix(sketch_mix(pgno + key->words[0]) ^ key->words[1]);
}

static enum kind page_kind(uint64_t word)
{
    unsigned value = (unsigned)(word >> 59);

    return value < kind_ends[PLAIN] ? PLAIN : value < kind_ends[SPARSE] ? SPARSE : DENSE;
}

static uint64_t draw(uint64_t word, uint64_t n)
{
    return sketch_mix(word + n * GOLDEN);
}

int sketch_samples(const struct sketch_key *key, uint32_t pgno)
{
    return (draw(page_word(key, pgno), 3) >> 32) * key->pages >> 32 < SAMPLE;
}

/* 0 for the first 530 cells, 1 for the next 530, 2 for 1060 to 2119, and so on. */
static unsigned tier_of(uint64_t cell)
{
    return cell < SKETCH_FIRST_CELLS ? 0
                                     : 64 - (unsigned)__builtin_clzll(cell / SKETCH_FIRST_CELLS);
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

/* Places by the fields of page's word from number f on: into `cells` cells from `base` on. */
static unsigned places_of_fields(uint64_t word, enum kind kind, unsigned f, uint64_t base,
                                 uint64_t cells, uint64_t first, uint64_t end, uint64_t *places,
                                 unsigned count)
{
    for (; f < kind_fields[kind]; f++) {
        uint64_t field = draw(word, f < 4 ? 1 : 2) >> 16 * (f % 4) & 0xffff;

        count = add_place(places, 0, count, base + (field * cells >> 16), first, end);
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

unsigned sketch_common_places(const struct sketch_key *key, uint32_t pgno, uint64_t first,
                              uint64_t end, uint64_t places[SKETCH_PLACES_MAX])
{
    uint64_t word = page_word(key, pgno);
    enum kind kind = page_kind(word);
    unsigned count = 0, tier, last;

    if (first >= end)
        return 0;
    if (first < SKETCH_FIRST_CELLS)
        count = places_of_fields(word, kind, 0, SKETCH_GAUGE_CELLS, FIRST_ORDINARY, first, end,
                                 places, 0);
    last = tier_of(end - 1);
    for (tier = tier_of(first) > 0 ? tier_of(first) : 1; tier <= last; tier++)
        count = places_of_tier(word, kind, tier, first, end, places, count);
    return count;
}

unsigned sketch_places(const struct sketch_key *key, uint32_t pgno, uint64_t first, uint64_t end,
                       uint64_t places[SKETCH_PLACES_MAX])
{
    int anchor = first < SKETCH_FIRST_CELLS ? sketch_anchor(key, pgno) : -1;
    uint64_t word, cell;
    unsigned count = 0;

    if (anchor < 0)
        return sketch_common_places(key, pgno, first, end, places);
    if (anchor >= 2 * SKETCH_GAUGE_CELLS) {
        word = page_word(key, pgno);
        cell = (uint64_t)anchor / 2;
        count = add_place(places, 0, 0, cell, first, end);
        if (cell + 1 < SKETCH_FIRST_CELLS)
            count = places_of_fields(word, page_kind(word), 1, cell + 1,
                                     SKETCH_FIRST_CELLS - cell - 1, first, end, places, count);
    }
    return count + sketch_common_places(key, pgno, SKETCH_FIRST_CELLS, end, places + count);
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
