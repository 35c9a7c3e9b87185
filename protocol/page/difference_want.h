/*
 * difference_want: which part of the receiver's description of its pages the sender wants to hear.
 */
#ifndef LOCKSTEP_PAGE_DIFFERENCE_WANT_H
#define LOCKSTEP_PAGE_DIFFERENCE_WANT_H

#include <stdint.h>

#define DIFFERENCE_CELL_SIZE 16 /* bytes */
#define DIFFERENCE_HASH_SIZE 8

/* What the sender wants to hear next, or that it knows. */
enum difference_kind { DIFFERENCE_CELLS, DIFFERENCE_HASHES, DIFFERENCE_FOUND };

struct difference_want {
    enum difference_kind kind;
    uint64_t first; /* number of the first cell (from 0), or of the first hash (from 1) */
    uint64_t count; /* how many cells, or hashes */
};

#endif
