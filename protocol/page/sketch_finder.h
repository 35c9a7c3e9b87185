/*
 * sketch_finder: finds which of many pages differ (difference.h), by a sketch of them (sketch.h).
 */
#ifndef LOCKSTEP_PAGE_SKETCH_FINDER_H
#define LOCKSTEP_PAGE_SKETCH_FINDER_H

#include <stdint.h>

#include "protocol/page/sketch_key.h"

struct difference_finder;
struct error;
struct page_hash;

/* hashes: of at least `pages` pages, SKETCH_PAGES_MIN or more; borrowed. The finder wants nothing
 * yet. Its methods give ERR_PROTOCOL once peeling garbage has cost more than a sketch of that size
 * can. */
int sketch_finder_new(struct difference_finder **finder, const struct page_hash *hashes,
                      uint32_t pages, const uint8_t seed[SKETCH_SEED_SIZE], struct error *error);

#endif
