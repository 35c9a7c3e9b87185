/*
 * tally: how many pages differ, estimated from the difference of two sketches that cannot be solved
 * yet.
 *
 * What counts is how many cells hold no differing page, exactly one, or several, as the density of
 * the cells is known, and which bits of the gauge are set. The estimate is the count of greatest
 * likelihood, each cell and each bit taken as independent of the others (Poisson). Only the sender
 * estimates, and only to choose how much more to ask for: floating point does no harm.
 */
#ifndef LOCKSTEP_PAGE_TALLY_H
#define LOCKSTEP_PAGE_TALLY_H

#include <stdint.h>

#include "protocol/page/sketch.h"

#define TALLY_BUCKETS (1 + 8 * 23) /* the first 512 cells, and eight parts of each tier */

/* What a cell of the difference holds. */
enum tally_content { TALLY_NONE, TALLY_ONE, TALLY_SEVERAL };

/* All zero is an empty tally. */
struct tally {
    uint32_t cells[TALLY_BUCKETS][3]; /* by content */
    uint32_t bits_set[SKETCH_STRATA]; /* of the gauge */
    uint32_t has_gauge;
};

struct tally_estimate {
    double low; /* three and a half standard deviations below */
    double likely;
    double high; /* two standard deviations above */
};

/* Count a cell of the difference that is not of the gauge. */
void tally_add(struct tally *tally, uint64_t cell, enum tally_content content);

/* Count the bits of the gauge: the difference of cells 0 to SKETCH_GAUGE_CELLS - 1. */
void tally_add_gauge(struct tally *tally, const struct sketch_cell *gauge);

/* How many pages differ, between `least` (at least 1) and `most`. */
struct tally_estimate tally_estimate(const struct tally *tally, double least, double most);

#endif
