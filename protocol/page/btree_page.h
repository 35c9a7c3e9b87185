/*
 * btree_page: the cells of one SQLite b-tree page, found from the page's own bytes.
 *
 * Source: https://www.sqlite.org/fileformat2.html, sections 1.6 (b-tree pages) and 1.5 (varints). Only what is on the
 * page itself is looked at, so any bytes may be given: those that do not hold together are no b-tree page here,
 * and a page of user's data that looks like one does no harm, because all that is done with it can be undone exactly.
 * The bytes reserved at a page's end are taken to be none: where a database has some, cells that overflow are
 * measured a little wrong, which costs compression and nothing else.
 */
#ifndef LOCKSTEP_PAGE_BTREE_PAGE_H
#define LOCKSTEP_PAGE_BTREE_PAGE_H

#include <stdint.h>

struct error;

struct btree_cell {
    uint16_t offset; /* from the start of the page */
    uint16_t size;   /* bytes on the page, at least 4 (a table's interior cells 5) */
};

/* A page's cells in the order of their keys. The array is owned and is as large as the page size needs. */
struct btree_page {
    uint32_t page_size;
    uint8_t type;            /* 2 and 5: interior, of an index and of a table; 10 and 13: leaf; 0: no b-tree page */
    uint8_t header_size;     /* the array of cell pointers starts here: 8, interior 12 */
    uint16_t cell_count;     /* 0 where type is 0 */
    uint32_t content;        /* where the header says that cells begin, 1 to 65536 */
    struct btree_cell *cells;
};

/* Make room for the cells of pages of page_size bytes. ERR_INTERNAL: memory ran out. */
int btree_page_init(struct btree_page *bp, uint32_t page_size, struct error *error);
void btree_page_release(struct btree_page *bp);

/* Look at a page (not page 1, whose header stands elsewhere). Returns whether it is a b-tree page. */
int btree_page_parse(struct btree_page *bp, const uint8_t *page);

/* How many of the pointers are what btree_page_code_pointers would make zero. */
uint32_t btree_page_packed_cells(const struct btree_page *bp);

/*
 * Replace, in page, each cell pointer by its distance from where the cell would stand if cells were packed: the last one at the
 * start of the content, each other right behind the one that follows it in key order. SQLite writes pages that way
 * when it fills, balances or vacuums, so that most distances are zero. bp is what parse gave for this page.
 */
void btree_page_code_pointers(const struct btree_page *bp, uint8_t *page);

/*
 * Undo btree_page_code_pointers. Returns 0 where the bytes are not what that gives for any page (page is then
 * spoiled), else 1.
 */
int btree_page_decode_pointers(uint8_t *page, uint32_t page_size);

/*
 * Rewrite page with its cells packed in key order against its end and zeros where no cell is, so that what is alike in two
 * pages stands in the same order in both. A page whose cells overlap too much to fit is left alone. bp is changed
 * to tell where the cells now are.
 */
void btree_page_pack(struct btree_page *bp, uint8_t *page, uint8_t *scratch);

#endif
