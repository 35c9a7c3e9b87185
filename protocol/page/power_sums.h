/*
 * power_sums: the description of few page hashes that wastes nothing: word j, from 0, is the sum of
 * h * i^j over all pages, i being the page's number, h the low 64 bits of its hash, all in GF(2^64)
 * (gf64.h).
 *
 * The difference of two sides' words are the sums over the pages that differ, with the difference
 * of their hashes for h. They are the syndromes of a Reed-Solomon code: 2t words always find t
 * pages or fewer, by the algorithms of Massey ("Shift-register synthesis and BCH decoding", 1969)
 * and Forney ("On decoding BCH codes", 1965). And any n words are as good as the hashes of any n
 * pages, when those of all others are known. So a list of hashes that follows n words may leave out
 * n pages, and the words were for nothing never. Nothing here is left to chance, but it costs pages
 * * words products, which is why many pages have a sketch (sketch.h).
 */
#ifndef LOCKSTEP_PAGE_POWER_SUMS_H
#define LOCKSTEP_PAGE_POWER_SUMS_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct page_hash;

/* A maker of the words, in their order. All zero, {0}, holds nothing. */
struct power_sums {
    uint32_t pages;
    uint64_t *points; /* owned; the page numbers */
    uint64_t *terms;  /* owned; each page's part of the next word */
};

/* hashes: of at least `pages` pages, not needed afterwards. ERR_INTERNAL: memory ran out; sums then
 * holds nothing. */
int power_sums_init(struct power_sums *sums, const struct page_hash *hashes, uint32_t pages,
                    struct error *error);
void power_sums_release(struct power_sums *sums);

/* The next `count` words. */
void power_sums_next(struct power_sums *sums, uint64_t *words, size_t count);

/* Take pages out of words 0 to count - 1: the page pgno, with this h. */
void power_sums_take_out(uint64_t *words, size_t count, uint32_t pgno, uint64_t hash);

/*
 * Solve words 0 to count - 1, an even number, for the pages up to number `pages` that they are the
 * sums of: their numbers, ascending, into pgnos, and their h, never 0, into hashes, with room for
 * count / 2 each; *found of them. *found is SIZE_MAX where there are more pages than that, or the
 * words are no sums at all. Costs at most count * (count + pages) products. ERR_INTERNAL: memory
 * ran out.
 */
int power_sums_solve(const uint64_t *words, size_t count, uint32_t pages, uint32_t *pgnos,
                     uint64_t *hashes, size_t *found, struct error *error);

/* Solve words 0 to count - 1 for the h of the pages 1 to count, of which they are the sums, into
 * hashes. As costly. */
int power_sums_fill_in(const uint64_t *words, size_t count, uint64_t *hashes, struct error *error);

#endif
