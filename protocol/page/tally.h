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

#define TALLY_BUCKETS (1 + 8 * 23) /* the first tier, and eight parts of each other */

/* What a cell of the difference holds. */
enum tally_content { TALLY_NONE, TALLY_ONE, TALLY_SEVERAL };

/* All zero, but for pages, is an empty tally. */
struct tally {
    double pages;                      /* that there are, differing or not */
    uint32_t cells[TALLY_BUCKETS][3];  /* by content */
    uint32_t words[SKETCH_STRATA][65]; /* words of the gauge by how many of their bits are set */
    uint32_t sampled;                  /* pages that were chosen by chance */
    uint32_t sampled_differing;        /* those of them that differ */
};

struct tally_estimate {
    double low; /* five and a half standard deviations below */
    double likely;
    double high;    /* two standard deviations above */
    double highest; /* five and a half */
};

/* Count a cell of the difference that is not of the gauge. */
void tally_add(struct tally *tally, uint64_t cell, enum tally_content content);

/* Count the bits of the gauge: the difference of cells 0 to SKETCH_GAUGE_CELLS - 1. */
void tally_add_gauge(struct tally *tally, struct sketch_cell *gauge);

/* How many pages differ, at least `least`, which is at least 1. */
struct tally_estimate tally_estimate(const struct tally *tally, double least);

#endif
