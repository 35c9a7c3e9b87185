/*
 * fake_pages: pages with the form of SQLite's b-tree pages, for tests of what looks at their cells.
 */
#ifndef LOCKSTEP_TESTS_PAGE_FAKE_PAGES_H
#define LOCKSTEP_TESTS_PAGE_FAKE_PAGES_H

#include <stdint.h>

enum {
    FAKE_INDEX_INTERIOR = 2,
    FAKE_TABLE_INTERIOR = 5,
    FAKE_INDEX_LEAF = 10,
    FAKE_TABLE_LEAF = 13
};

struct fake_cell {
    uint32_t offset;
    uint32_t size;
};

struct fake_page {
    uint32_t page_size;
    uint8_t type;
    uint8_t *bytes;          /* owned */
    uint32_t cell_count;
    struct fake_cell *cells; /* owned; in key order */
};

/* The next of a row of numbers that look random; never 0 for an argument that is not 0. */
uint32_t fake_random(uint32_t x);

struct fake_page *fake_page_new(uint32_t page_size, uint8_t type);
void fake_page_free(struct fake_page *fake);

/*
 * Fill the page with cells of consecutive keys from `key` on, as many as fit but at most max_cells. What a cell holds follows
 * from (key, salt % 1000), so that pages that share keys share cells. Packed in key order, as VACUUM writes them, or with
 * disorder: in an order that follows from the salt. Returns the first key that is not on the page.
 */
uint32_t fake_page_fill(struct fake_page *fake, uint32_t salt, uint32_t key, uint32_t max_cells, int disorder);

/*
 * The same for the keys in the array, ascending. Returns how many of them are on the page.
 */
uint32_t fake_page_fill_keys(struct fake_page *fake, uint32_t salt, const uint32_t *keys, uint32_t key_count,
                             int disorder);

#endif
