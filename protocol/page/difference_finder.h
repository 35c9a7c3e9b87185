/*
 * difference_finder: what the two ways to find the pages that differ (sums_finder.h and
 * sketch_finder.h) have in common. Others call difference.h.
 */
#ifndef LOCKSTEP_PAGE_DIFFERENCE_FINDER_H
#define LOCKSTEP_PAGE_DIFFERENCE_FINDER_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/page/difference_page.h"
#include "protocol/page/difference_want.h"

struct difference_finder;
struct error;

/* The cells may weigh so many bytes for each page that differs, and so many for all, 200 less than
 * with the frames. */
#define DIFFERENCE_BYTES_PER_PAGE 25
#define DIFFERENCE_BYTES_BASE     8300

struct difference_finder_methods {
    /* Take the first `count` of the cells, or hashes, that are wanted, not more. */
    int (*add_cells)(struct difference_finder *finder, const uint8_t *data, size_t count,
                     struct error *error);
    int (*add_hashes)(struct difference_finder *finder, const uint8_t *data, size_t count,
                      struct error *error);
    /* All that was wanted has come; want.kind still tells what it was. Want more, or be done: with
     * DIFFERENCE_FOUND, and found. */
    int (*conclude)(struct difference_finder *finder, struct error *error);
    void (*free)(struct difference_finder *finder);
};

/* The first member of every finder. */
struct difference_finder {
    const struct difference_finder_methods *methods;
    struct difference_want want;   /* what has not come yet */
    struct difference_page *found; /* owned by the finder; ascending, once all are known */
    size_t found_count;
};

#endif
