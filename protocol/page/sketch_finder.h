/*
 * sketch_finder: finds which of many pages differ (difference.h), by a sketch of them (sketch.h).
 */
#ifndef LOCKSTEP_PAGE_SKETCH_FINDER_H
#define LOCKSTEP_PAGE_SKETCH_FINDER_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/page/difference.h"

struct error;
struct page_hash;
struct sketch_finder;
struct sketch_key;

/* hashes: of at least `pages` pages, more than DIFFERENCE_SUMS_PAGES; borrowed. */
int sketch_finder_new(struct sketch_finder **finder, const struct page_hash *hashes, uint32_t pages,
                      const uint8_t seed[DIFFERENCE_SEED_SIZE], struct error *error);
void sketch_finder_free(struct sketch_finder *finder);

/* Take `count` of the cells or hashes that are wanted next, not more. ERR_PROTOCOL once peeling
 * garbage has cost more than a sketch of that size can. */
int sketch_finder_add(struct sketch_finder *finder, const uint8_t *data, size_t count,
                      struct error *error);

/* As difference_finder_want and difference_finder_pages. */
struct difference_want sketch_finder_want(const struct sketch_finder *finder);
const struct difference_page *sketch_finder_pages(const struct sketch_finder *finder,
                                                  size_t *count);

/* Cells that a describer has. */
uint64_t sketch_cells_max(uint32_t pages);

/*
 * The pages whose hashes a list has, in its order: all but the anchors, the sample's in front. How
 * many are of the sample goes to *sampled. Owned by the caller; NULL: memory ran out.
 */
uint32_t *sketch_list_order(const struct sketch_key *key, uint32_t *sampled);

#endif
