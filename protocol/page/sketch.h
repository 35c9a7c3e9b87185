/*
 * sketch: a description of many page hashes in few bytes, from which two sides learn what differs.
 *
 * The sketch is a stream of cells, of which any prefix can be used: 16 bytes each, two 64-bit
 * words, little-endian on the wire. Each page falls into some of the cells. The difference of two
 * sketches, cell by cell, is XOR, and is the sketch of the pages that differ. What follows is the
 * format; a second implementation needs no more.
 *
 * Which pages fall into which cells is told in sketch_key.h, with mix() and what an anchor is. With
 * h the low 64 bits of the page's hash, each of a page's cells has h XORed to its first word and h
 * * i, a product in GF(2^64) (gf64.h) with the page's number, to its second.
 *
 * Cells 0 to 97 are the gauge, which tells about how many pages differ when those are too many to
 * be found yet: 196 words, two a cell. Each page but the anchors of these words flips bits in them.
 * With g = mix(h * i), so that pages that only moved are counted too, and bit b of a stretch being
 * bit b % 64 of its word b / 64:
 *
 *   words 0 to 47      bit (g & 0xffff) * 3072 >> 16, by every page
 *   words 48 to 95     bit (g >> 16 & 0xffff) * 3072 >> 16, where g >> 48 & 1 is 0
 *   words 96 to 143    bit (g >> 32 & 0xffff) * 3072 >> 16, where g >> 49 & 3 is 0
 *   words 144 to 195   where g >> 57 is 0: with e = mix(g), z the number of zero bits below the
 * lowest set bit of e (64 for e = 0) and s = z / 2, rounded down: bit 256 * s + (e >> 56), where s
 * is below 13
 *
 * Then the h of its anchor is XORed to each of these words.
 *
 * So all 1060 words of the first tier are worth a hash each: a list of the hashes that follows them
 * may leave out the anchors. Who knows the hashes of all other pages gets those of the two anchors
 * of a cell from its two words, two equations, and then those of the gauge's anchors. Where they
 * differ, anchors cost the gauge that word and the cell its use for other pages; they are at most a
 * quarter of all pages.
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

#include "protocol/page/sketch_key.h"

struct error;
struct page_hash;

#define SKETCH_STRATA 16 /* of the gauge */

struct sketch_cell {
    uint64_t sum;      /* XOR of h */
    uint64_t weighted; /* XOR of h * i */
};

static inline int sketch_cell_is_empty(const struct sketch_cell *cell)
{
    return cell->sum == 0 && cell->weighted == 0;
}

/* The words of a stratum of the gauge, 0 to 15, are *first to *first + *count - 1; what is returned
 * is how many of their bits a page flips, on the average. */
double sketch_stratum(unsigned stratum, unsigned *first, unsigned *count);

/* A word of cells: 0 is the first of the first cell. */
uint64_t *sketch_word(struct sketch_cell *cells, size_t word);

/* Flip the bits of the gauge, which begins at cells[0], of a page that is no anchor of it.
 * weighted: h * i. */
void sketch_flip_gauge(struct sketch_cell *cells, uint64_t weighted);

/* The cells that a sketch of so many pages has at most. */
uint64_t sketch_cells_max(uint32_t pages);

/* A reader of the stream of cells of some pages. */
struct sketch {
    const struct sketch_key *key;   /* borrowed */
    const struct page_hash *hashes; /* borrowed */
    uint64_t max;                   /* cells there are */
    uint64_t first, end;            /* cells that are at hand */
    struct sketch_cell *cells;      /* owned: those */
};

/* key, and hashes, of at least the key's pages: borrowed until sketch_release. The stream ends at
 * cell max. Allocates nothing. */
void sketch_init(struct sketch *sketch, const struct sketch_key *key,
                 const struct page_hash *hashes, uint64_t max);
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
