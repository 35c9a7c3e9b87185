/*
 * sums_finder: finds which of few pages differ (difference.h), by the hashes or by their power sums
 * (power_sums.h).
 *
 * Nothing is left to chance here. 530 cells, two words each, find up to 530 pages. Then at least
 * 531 differ, and what may be said of so many is asked for: 1350 cells, or all that there is.
 */
#ifndef LOCKSTEP_PAGE_SUMS_FINDER_H
#define LOCKSTEP_PAGE_SUMS_FINDER_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/page/difference.h"

struct error;
struct page_hash;
struct sums_finder;

/* hashes: of at least `pages` pages, 1 to DIFFERENCE_SUMS_PAGES; borrowed. */
int sums_finder_new(struct sums_finder **finder, const struct page_hash *hashes, uint32_t pages,
                    struct error *error);
void sums_finder_free(struct sums_finder *finder);

/* Take `count` of the cells or hashes that are wanted next, not more. */
int sums_finder_add(struct sums_finder *finder, const uint8_t *data, size_t count,
                    struct error *error);

/* As difference_finder_want and difference_finder_pages. */
struct difference_want sums_finder_want(const struct sums_finder *finder);
const struct difference_page *sums_finder_pages(const struct sums_finder *finder, size_t *count);

#endif
