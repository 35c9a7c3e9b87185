/*
 * sketch_key: see sketch_key.h for the rules.
 */
#include "protocol/page/sketch_key.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/le64.h"
#include "protocol/page/sketch_rule.h"

#define SAMPLE 2000

/* How many cells each kind falls into: of the first tier, and of each later one. */
static const unsigned kind_fields[] = {3, 3, 7};
static const double kind_per_tier[] = {1.0, 0.5, 6.0};
static const double kind_shares[] = {18 / 32.0, 8 / 32.0, 6 / 32.0};

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
    key->words[0] = le64_load(seed);
    key->words[1] = le64_load(seed + 8);
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

int sketch_samples(const struct sketch_key *key, uint32_t pgno)
{
    return (sketch_draw(sketch_page_word(key, pgno), 3) >> 32) * key->pages >> 32 < SAMPLE;
}

uint32_t *sketch_list_order(const struct sketch_key *key, uint32_t *sampled)
{
    uint32_t *order = malloc((size_t)key->pages * sizeof(*order));
    uint32_t count = 0;

    *sampled = 0;
    for (int of_sample = 1; order != NULL && of_sample >= 0; of_sample--) {
        for (uint32_t pgno = 1; pgno <= key->pages; pgno++)
            if (sketch_samples(key, pgno) == of_sample && sketch_anchor(key, pgno) < 0)
                order[count++] = pgno;
        if (of_sample)
            *sampled = count;
    }
    return order;
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

/* The cells of a page from first to end - 1, as they are found. */
struct places {
    uint64_t first, end;
    uint64_t *cells;
    unsigned count;
};

/* Add a cell, unless it is out of range or stands there already, from `since` on. */
static void add_place(struct places *places, unsigned since, uint64_t cell)
{
    if (cell < places->first || cell >= places->end)
        return;
    for (unsigned i = since; i < places->count; i++)
        if (places->cells[i] == cell)
            return;
    places->cells[places->count++] = cell;
}

/* By the fields of the page's word from number f on: into `cells` cells from `base` on. */
static void add_by_fields(struct places *places, uint64_t word, unsigned f, uint64_t base,
                          uint64_t cells)
{
    unsigned fields = kind_fields[sketch_page_kind(word)];

    for (; f < fields; f++) {
        uint64_t field = sketch_draw(word, f < 4 ? 1 : 2) >> 16 * (f % 4) & 0xffff;

        add_place(places, 0, base + (field * cells >> 16));
    }
}

static void add_of_tier(struct places *places, uint64_t word, unsigned tier)
{
    enum sketch_kind kind = sketch_page_kind(word);
    uint64_t begin = (uint64_t)SKETCH_FIRST_CELLS << (tier - 1);
    unsigned since = places->count;

    for (unsigned n = 0; n < (kind == DENSE ? 3u : 1u); n++) {
        uint64_t drawn = sketch_draw(word, 4 * (uint64_t)tier + n);

        if (kind == SPARSE && drawn >> 63 != 0)
            return;
        add_place(places, since, sketch_place(begin, (uint32_t)drawn));
        if (kind == DENSE)
            add_place(places, since, sketch_place(begin, (uint32_t)(drawn >> 32)));
    }
}

/* Of a page that counts as no anchor. */
static void add_common(struct places *places, uint64_t word)
{
    unsigned tier, last;

    if (places->first >= places->end)
        return;
    if (places->first < SKETCH_FIRST_CELLS)
        add_by_fields(places, word, 0, SKETCH_GAUGE_CELLS, SKETCH_FIRST_ORDINARY);
    last = tier_of(places->end - 1);
    for (tier = tier_of(places->first) > 0 ? tier_of(places->first) : 1; tier <= last; tier++)
        add_of_tier(places, word, tier);
}

unsigned sketch_common_places(const struct sketch_key *key, uint32_t pgno, uint64_t first,
                              uint64_t end, uint64_t places[SKETCH_PLACES_MAX])
{
    struct places found = {.first = first, .end = end, .cells = places};

    add_common(&found, sketch_page_word(key, pgno));
    return found.count;
}

unsigned sketch_places(const struct sketch_key *key, uint32_t pgno, uint64_t first, uint64_t end,
                       uint64_t places[SKETCH_PLACES_MAX])
{
    struct places found = {.first = first, .end = end, .cells = places};
    int anchor = first < SKETCH_FIRST_CELLS ? sketch_anchor(key, pgno) : -1;
    uint64_t word = sketch_page_word(key, pgno);

    if (anchor >= 2 * SKETCH_GAUGE_CELLS) {
        uint64_t cell = (uint64_t)anchor / 2;

        add_place(&found, 0, cell);
        if (cell + 1 < SKETCH_FIRST_CELLS)
            add_by_fields(&found, word, 1, cell + 1, SKETCH_FIRST_CELLS - cell - 1);
    }
    if (anchor >= 0)
        found.first = SKETCH_FIRST_CELLS;
    add_common(&found, word);
    return found.count;
}

int sketch_falls_into(const struct sketch_key *key, uint32_t pgno, uint64_t cell)
{
    uint64_t places[SKETCH_PLACES_MAX];

    return sketch_places(key, pgno, cell, cell + 1, places) == 1;
}

/* The u, 0 to 1, that place() sends to the share y, 0 to 1, of a tier. */
static double unspread(double y)
{
    const double a = SKETCH_SPREAD_LINEAR / 4294967296.0, b = SKETCH_SPREAD_SQUARE / 4294967296.0;

    return (sqrt(a * a + 4 * b * y) - a) / (2 * b);
}

double sketch_density(uint64_t first, uint64_t end)
{
    double in_first = 0, per_tier = 0, begin;

    for (int kind = PLAIN; kind <= DENSE; kind++) {
        in_first += kind_shares[kind] * kind_fields[kind];
        per_tier += kind_shares[kind] * kind_per_tier[kind];
    }
    if (first < SKETCH_FIRST_CELLS)
        return in_first / SKETCH_FIRST_ORDINARY;
    begin = (double)(sketch_tier_end(first) / 2);
    return per_tier * (unspread((double)end / begin - 1) - unspread((double)first / begin - 1)) /
           (double)(end - first);
}

double sketch_places_variance(void)
{
    double mean = 0, square = 0;

    for (int kind = PLAIN; kind <= DENSE; kind++) {
        mean += kind_shares[kind] * kind_per_tier[kind];
        square += kind_shares[kind] * kind_per_tier[kind] * kind_per_tier[kind];
    }
    return square / (mean * mean) - 1;
}
