/*
 * sketch: a description of many page hashes in few bytes, from which two sides learn what differs.
 *
 * The sketch is a stream of cells, of which any prefix can be used: 16 bytes each, two 64-bit
 * words, little-endian on the wire. Each page falls into some of the cells. The difference of two
 * sketches, cell by cell, is XOR, and is the sketch of the pages that differ. What follows is the
 * format; a second implementation needs no more.
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
 * Cells 16 to 511. Field f (0 to 6) of page i is the f-th group of 16 bits, the lowest first, of
 * draw(i, 1) for f below 4, of draw(i, 2) from there on. The page falls into the cells
 * 16 + (field * 496 >> 16) of its fields 0 to 2, where DENSE of its fields 0 to 6.
 *
 * Cells from 512 on come in tiers: tier t, from 1, is the cells B to 2B - 1 with B = 512 * 2^(t-1).
 * The place of 32 bits u spreads evenly over the logarithm of the cell number:
 *
 *   place(u): B + (B * y >> 32)
 *   where y = u * (0xa8000000 + (0x58000000 * u >> 32)) >> 32
 *
 * Into which cells of tier t page i falls:
 *
 *   PLAIN:  place(lower half of draw(i, 4t))
 *   SPARSE: the same where bit 63 of draw(i, 4t) is 0, else none
 *   DENSE:  the places of both halves of draw(i, 4t), draw(i, 4t + 1) and draw(i, 4t + 2)
 *
 * A page falls into a cell once, however often the rule names it. With h the low 64 bits of the
 * page's hash, each of these cells has h XORed to its first word and h * i, a product in GF(2^64)
 * (gf64.h), to its second.
 *
 * Cells 0 to 15 are the gauge, which tells about how many pages differ when those are too many to
 * be found yet. It is 2048 bits, bit b being bit b % 64 of word b / 64, two words a cell. For a
 * page with g = mix(h * i), so that pages that only moved are counted too, and z the number of zero bits below the lowest set bit of g (64 for g = 0),
 * s = z / 2, rounded down: where s is 1 to 8, bit 256 * (s - 1) + (g >> 56) is flipped. So stratum
 * s samples 3/4 * 4^-s of all hashes.
 *
 * The seed must be fresh random bytes for each session: who knew it could choose pages that share
 * their cells.
 *
 * The idea of the endless stream and of densities that fall as 1/j is from Yang, Gilad and
 * Alizadeh, "Practical Rateless Set Reconciliation" (SIGCOMM 2024), that of unequal kinds of items
 * from its extended version. Cells by tiers instead of a chain of jumps make each range of cells
 * computable by itself, without state for each page. Tried, as cells needed for each of 1000, 3000,
 * 10000 and 25,745 differing pages (medians of simulations), and how many pages 512 cells find
 * nearly always:
 *
 *   the paper's, alpha 0.5           1.37  1.35  1.35  1.37   320   20 cells a page
 *   its alphas 0.11, 0.68, 0.82      1.15  1.13  1.11  1.11   (a)   25
 *   tiers, one kind: 3, then 1.4     1.42  1.53  1.52  1.51   380   12
 *   tiers, two kinds (b)             1.28  1.29  1.24  1.26   380   15
 *   tiers, three kinds, as above     1.21  1.20  1.17  1.17   380   14
 *
 * (a) 300 pages are not found one time in 60: some fall into two cells or fewer. (b) 82 % of the
 * pages into 3 of the first cells and 1 of each tier, 18 % into 6 and 6.
 *
 * The three kinds by tiers were taken: at large counts nearly as good as the best, at 300 without
 * its failures.
 */
#ifndef LOCKSTEP_PAGE_SKETCH_H
#define LOCKSTEP_PAGE_SKETCH_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct page_hash;

#define SKETCH_SEED_SIZE    16
#define SKETCH_GAUGE_CELLS  16  /* cells below this are the gauge */
#define SKETCH_FIRST_CELLS  512 /* where tier 1 begins */
#define SKETCH_PLACES_MAX   145 /* more cells no page falls into: 7, and 6 in each of 23 tiers */
#define SKETCH_STRATA       8
#define SKETCH_STRATUM_BITS 256

struct sketch_cell {
    uint64_t sum;      /* XOR of h */
    uint64_t weighted; /* XOR of h * i */
};

/* What decides which pages fall into which cells. */
struct sketch_key {
    uint64_t words[2];
};

void sketch_key_init(struct sketch_key *key, const uint8_t seed[SKETCH_SEED_SIZE]);

/* The cells from first to end - 1, gauge aside, into which page pgno falls, into places; their
 * number is returned. */
unsigned sketch_places(const struct sketch_key *key, uint32_t pgno, uint64_t first, uint64_t end,
                       uint64_t places[SKETCH_PLACES_MAX]);

/* Whether page pgno falls into the cell, which is not of the gauge. */
int sketch_falls_into(const struct sketch_key *key, uint32_t pgno, uint64_t cell);

/*
 * The share of all pages that fall into one cell of this kind: into each cell of first to end - 1
 * on the average, where these lie in one tier. For estimates only.
 */
double sketch_density(uint64_t first, uint64_t end);

/* The variance of the number of a page's cells in a tier, in units of its mean squared. For
 * estimates only. */
double sketch_places_variance(void);

/* The cell that ends the tier of this one (the first cell behind it). */
uint64_t sketch_tier_end(uint64_t cell);

/* A reader of the stream of cells of some pages. */
struct sketch {
    struct sketch_key key;
    const struct page_hash *hashes; /* borrowed */
    uint32_t pages;
    uint64_t max;              /* cells there are */
    uint64_t first, end;       /* cells that are at hand */
    struct sketch_cell *cells; /* owned: those */
};

/* hashes: of at least `pages` pages; borrowed until sketch_release. The stream ends at cell max.
 * Allocates nothing. */
void sketch_init(struct sketch *sketch, const uint8_t seed[SKETCH_SEED_SIZE],
                 const struct page_hash *hashes, uint32_t pages, uint64_t max);
void sketch_release(struct sketch *sketch);

/*
 * Copy cells first to first + count - 1, which must be below max, to out. Best read in order: each
 * pass over all pages makes the cells up to the end of a tier, and keeps them until others are
 * asked for. ERR_INTERNAL where memory ran out.
 */
int sketch_read(struct sketch *sketch, uint64_t first, size_t count, struct sketch_cell *out,
                struct error *error);

/* Free the cells that are at hand; they are made again when asked for. */
void sketch_forget(struct sketch *sketch);

/* Cells between their 16 bytes each on the wire and memory. */
void sketch_store(const struct sketch_cell *cells, size_t count, uint8_t *bytes);
void sketch_load(struct sketch_cell *cells, size_t count, const uint8_t *bytes);

#endif
