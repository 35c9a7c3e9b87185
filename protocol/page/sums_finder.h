/*
 * sums_finder: finds which of few pages differ (difference.h), by the hashes or by their power sums
 * (power_sums.h).
 *
 * Nothing is left to chance here. 530 cells, two words each, find up to 530 pages. Then at least
 * 531 differ, and what may be said of so many is asked for: 1350 cells, or all that there is.
 */
#ifndef LOCKSTEP_PAGE_SUMS_FINDER_H
#define LOCKSTEP_PAGE_SUMS_FINDER_H

#include <stdint.h>

struct difference_finder;
struct error;
struct page_hash;

/* hashes: of at least `pages` pages, which may be none; borrowed. The finder wants nothing yet. */
int sums_finder_new(struct difference_finder **finder, const struct page_hash *hashes,
                    uint32_t pages, struct error *error);

#endif
