/*
 * difference: finding the pages that differ, with little said.
 *
 * The receiver describes its pages, the sender subtracts its own and finds which differ, and what
 * the receiver's hash of each was. Where there are no more pages than 1060, the description is the
 * list of their hashes, 8 bytes each. Else it is cells, of 16 bytes, that find a page for 16 to 25
 * bytes, however the pages are scattered: up to 5250 pages, power sums of them all (power_sums.h),
 * which leave nothing to chance; beyond, the cells of a sketch (sketch.h). Where too many pages
 * differ for cells the list follows them, and leaves out as many hashes as the words of the cells
 * are worth: cells and list together are never more than the list alone.
 *
 * With d pages that differ, the cells and hashes, and the frames of the messages that carry and ask
 * for them, take at most 25 * d + 8500 bytes; and without the frames (at most 17 bytes for each
 * message) never more than 8 bytes for each page there is. They take one round trip up to 300
 * pages, and at most one more for each factor of four. Of the sketch that is true but for chances
 * of less than one in a million, which cost a few bytes or a round trip (sketch_finder.c).
 *
 * Only pages up to the smaller of the two page counts take part. Both sides know it: `pages` below.
 *
 * Pure: no input, no output. Nothing here trusts the peer: garbage costs bounded work and ends in
 * an error or in a wrong set, and the root that is proven before the commit catches a wrong set.
 */
#ifndef LOCKSTEP_PAGE_DIFFERENCE_H
#define LOCKSTEP_PAGE_DIFFERENCE_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/page/difference_page.h"
#include "protocol/page/difference_want.h"

struct error;
struct page_hash;
struct buffer;

#define DIFFERENCE_FIRST_CELLS 530  /* in the first flight: enough for 300 pages that differ */
#define DIFFERENCE_SUMS_PAGES  5250 /* up to so many pages, cells are power sums */
#define DIFFERENCE_SEED_SIZE   16

/* The first flight, which the receiver sends unasked: cells, or the flat list where the pages are
 * so few that it is smaller. DIFFERENCE_FOUND and nothing to send where there are no pages. */
struct difference_want difference_first_flight(uint32_t pages);

/* ---- receiver ---- */
struct difference_describer;

/* hashes: of at least `pages` pages; borrowed, must outlive the describer and not change. seed:
 * fresh random bytes, told to the sender. */
int difference_describer_new(struct difference_describer **describer,
                             const struct page_hash *hashes, uint32_t pages,
                             const uint8_t seed[DIFFERENCE_SEED_SIZE], struct error *error);
void difference_describer_free(struct difference_describer *describer);

/*
 * Append to out the bytes of the cells or hashes first … first + count - 1: 16 bytes a cell (S0
 * then S1, little-endian), 8 a hash (little-endian). A flight may be asked for whole or in pieces,
 * each where the last one of its kind ended: cells from 0; hashes from 1, or, w being the words of
 * the cells that were described (of a sketch, 1060, those of its first tier), from w + 1, which
 * leaves out the pages that these words are worth. Hashes from 1 are in the order of the pages,
 * else, of a sketch, as sketch_list_order has it. ERR_PROTOCOL for any other, or beyond what a
 * finder asks for (the want may come from the peer); out is then as it was.
 */
int difference_describe(struct difference_describer *describer, const struct difference_want *want,
                        struct buffer *out, struct error *error);

/* ---- sender ---- */
struct difference_finder;

int difference_finder_new(struct difference_finder **finder, const struct page_hash *hashes,
                          uint32_t pages, const uint8_t seed[DIFFERENCE_SEED_SIZE],
                          struct error *error);
void difference_finder_free(struct difference_finder *finder);

/*
 * Take cells or hashes that came: kind, number of the first, and their bytes. They must be exactly
 * what is wanted next, in one piece or several. ERR_PROTOCOL for others, and once peeling garbage
 * has cost more than a sketch of that size can.
 */
int difference_finder_add(struct difference_finder *finder, enum difference_kind kind,
                          uint64_t first, const uint8_t *data, size_t len, struct error *error);

/*
 * What is needed next. While a flight has not come whole: the rest of it. After a whole flight that
 * did not do: as many more cells as will likely do, or the flat list. DIFFERENCE_FOUND: the set is
 * known.
 */
struct difference_want difference_finder_want(const struct difference_finder *finder);

/* After DIFFERENCE_FOUND: the pages that differ, ascending. Owned by the finder. */
const struct difference_page *difference_finder_pages(const struct difference_finder *finder,
                                                      size_t *count);

#endif
