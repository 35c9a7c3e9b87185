/*
 * sketch_rule: the arithmetic of sketch_key.h, for those who go through many pages.
 */
#ifndef LOCKSTEP_PAGE_SKETCH_RULE_H
#define LOCKSTEP_PAGE_SKETCH_RULE_H

#include <stdint.h>

#include "protocol/page/sketch_key.h"

#define SKETCH_FIRST_ORDINARY (SKETCH_FIRST_CELLS - SKETCH_GAUGE_CELLS)

/* sketch_place(): y = u * (LINEAR + SQUARE * u), in units of 2^-32. */
#define SKETCH_SPREAD_LINEAR 0xa8000000u
#define SKETCH_SPREAD_SQUARE 0x58000000u

/* By word(i) >> 59: the kinds end at 18, 26 and 32. */
enum sketch_kind { PLAIN, SPARSE, DENSE };

static inline uint64_t sketch_mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static inline uint64_t sketch_page_word(const struct sketch_key *key, uint32_t pgno)
{
    return sketch_mix(sketch_mix(pgno + key->words[0]) ^ key->words[1]);
}

static inline enum sketch_kind sketch_page_kind(uint64_t word)
{
    unsigned value = (unsigned)(word >> 59);

    return (enum sketch_kind)((value >= 18) + (value >= 26));
}

static inline uint64_t sketch_draw(uint64_t word, uint64_t n)
{
    return sketch_mix(word + n * 0x9e3779b97f4a7c15u);
}

/* The tier's cells are begin to 2 * begin - 1. */
static inline uint64_t sketch_place(uint64_t begin, uint32_t u)
{
    uint64_t y = u * (SKETCH_SPREAD_LINEAR + ((uint64_t)SKETCH_SPREAD_SQUARE * u >> 32)) >> 32;

    return begin + (begin * y >> 32);
}

/* The cells of the first tier that field f of a common page names, drawn being draw(i, f < 4 ? 1 :
 * 2). */
static inline uint64_t sketch_field_place(uint64_t drawn, unsigned f)
{
    return SKETCH_GAUGE_CELLS + ((drawn >> 16 * (f % 4) & 0xffff) * SKETCH_FIRST_ORDINARY >> 16);
}

#endif
