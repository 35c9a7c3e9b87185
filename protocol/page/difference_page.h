/*
 * difference_page: a page that differs.
 */
#ifndef LOCKSTEP_PAGE_DIFFERENCE_PAGE_H
#define LOCKSTEP_PAGE_DIFFERENCE_PAGE_H

#include <stdint.h>

struct difference_page {
    uint32_t pgno;
    uint64_t their_hash; /* the low half of the hash that the receiver has of it */
};

#endif
