/*
 * sketch_key: which pages fall into which cells of a sketch (sketch.h).
 *
 * All arithmetic is on unsigned 64-bit integers modulo 2^64; >> shifts zeros in.
 *
 *   mix(x), the finalizer of SplitMix64:
 *       x ^= x >> 30; x *= 0xbf58476d1ce4e5b9;
 *       x ^= x >> 27; x *= 0x94d049bb133111eb; x ^= x >> 31
 *   k0, k1: the seed's 16 bytes as two little-endian words
 *   word(i): mix(mix(i + k0) ^ k1), for the page number i, from 1
 *   draw(i, n): mix(word(i) + n * 0x9e3779b97f4a7c15)
 *   kind(i): word(i) >> 59, which is 0 to 31: below 18 PLAIN, below 26 SPARSE, else DENSE
 *
 * The first tier is the cells 0 to 529. Each of their 1060 words (two a cell) has a page of its
 * own, its anchor: with n the number of pages, and a(j) = 1 + ((mix(mix(j + k1) ^ k0) >> 32) * n >>
 * 32) for j from 0 on, anchor w is the w-th, from 0, of the values of a(j) in the order in which
 * they first appear.
 *
 * Field f (0 to 6) of page i is the f-th group of 16 bits, the lowest first, of draw(i, 1) for f
 * below 4, of draw(i, 2) from there on. Into which cells of the first tier page i falls, F being
 * its fields 0 to 2, where DENSE 0 to 6:
 *
 *   98 + (field * 432 >> 16) for each field of F, where it is no anchor
 *   c = w / 2, rounded down, and c + 1 + (field * (529 - c) >> 16) for each field of F but field 0,
 * where it is anchor w, from 196 on; for c = 529 only into that none, where it is one of the
 * anchors 0 to 195
 *
 * Cells from 530 on come in tiers: tier t, from 1, is the cells B to 2B - 1 with B = 530 * 2^(t-1).
 * The place of 32 bits u spreads evenly over the logarithm of the cell number:
 *
 *   place(u): B + (B * y >> 32)
 *   where y = u * (0xa8000000 + (0x58000000 * u >> 32)) >> 32
 *
 * Into which cells of tier t page i falls, anchor or not:
 *
 *   PLAIN:  place(lower half of draw(i, 4t))
 *   SPARSE: the same where bit 63 of draw(i, 4t) is 0, else none
 *   DENSE:  the places of both halves of draw(i, 4t), draw(i, 4t + 1) and draw(i, 4t + 2)
 *
 * A page falls into a cell once, however often the rule names it.
 *
 * The sample is the pages i with (draw(i, 3) >> 32) * n >> 32 below 2000 that are no anchors.
 *
 * The seed must be fresh random bytes for each session: who knew it could choose pages that share
 * their cells.
 */
#ifndef LOCKSTEP_PAGE_SKETCH_KEY_H
#define LOCKSTEP_PAGE_SKETCH_KEY_H

#include <stdint.h>

#define SKETCH_SEED_SIZE   16
#define SKETCH_GAUGE_CELLS 98  /* cells below this are the gauge */
#define SKETCH_FIRST_CELLS 530 /* where tier 1 begins */
#define SKETCH_ANCHORS     (2 * SKETCH_FIRST_CELLS)
#define SKETCH_PLACES_MAX  145 /* more cells no page falls into: 7, and 6 in each of 23 tiers */
#define SKETCH_PAGES_MIN   (4 * SKETCH_ANCHORS) /* fewer have no sketch */

/* What decides which pages fall into which cells. Holds nothing that must be released. */
struct sketch_key {
    uint64_t words[2];
    uint32_t pages;
    uint32_t anchors[SKETCH_ANCHORS]; /* page numbers */
    uint16_t slots[4096];             /* hash table of those: 1 + place among them, 0 for none */
};

/* pages: how many there are, at least SKETCH_PAGES_MIN. */
void sketch_key_init(struct sketch_key *key, const uint8_t seed[SKETCH_SEED_SIZE], uint32_t pages);

/* Which anchor the page is, or -1 for none. */
int sketch_anchor(const struct sketch_key *key, uint32_t pgno);

/* Whether the page, which is no anchor, is of the sample. */
int sketch_samples(const struct sketch_key *key, uint32_t pgno);

/*
 * The pages whose hashes a list has, in its order: all but the anchors, the sample's in front. How
 * many are of the sample goes to *sampled. Owned by the caller; NULL: memory ran out.
 */
uint32_t *sketch_list_order(const struct sketch_key *key, uint32_t *sampled);

/* The cells from first to end - 1, gauge aside, into which page pgno falls, into places; their
 * number is returned. */
unsigned sketch_places(const struct sketch_key *key, uint32_t pgno, uint64_t first, uint64_t end,
                       uint64_t places[SKETCH_PLACES_MAX]);

/* The same, of a page that counts as no anchor, if it is one or not. A little quicker. */
unsigned sketch_common_places(const struct sketch_key *key, uint32_t pgno, uint64_t first,
                              uint64_t end, uint64_t places[SKETCH_PLACES_MAX]);

/* Whether page pgno falls into the cell, which is not of the gauge. */
int sketch_falls_into(const struct sketch_key *key, uint32_t pgno, uint64_t cell);

/*
 * The share of all pages that fall into one cell of this kind: into each cell of first to end - 1
 * on the average, where these lie in one tier; anchors in the first tier do not count. For
 * estimates only.
 */
double sketch_density(uint64_t first, uint64_t end);

/* The variance of the number of a page's cells in a tier, in units of its mean squared. For
 * estimates only. */
double sketch_places_variance(void);

/* The cell that ends the tier of this one (the first cell behind it). */
uint64_t sketch_tier_end(uint64_t cell);

#endif
