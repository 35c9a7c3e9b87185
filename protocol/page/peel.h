/*
 * peel: solves the difference of two sketches for the pages that differ.
 *
 * A cell that holds one differing page has weighted / sum = the page's number. That is taken as
 * true where the number is in range and the page does fall into that cell; a cell of several pages
 * passes by chance once in about 2^64 * 100 / pages times. The page is then taken out of all its
 * cells, which may leave others with one page, and so on, each cell waiting in a queue to be looked
 * at after each change. A page that was taken out wrongly shows up again in its cells and is put
 * back by the same rule. Divisions are made many at a time, which costs three products each and one
 * inverse for all: linear work.
 *
 * What that leaves is for peel_rest.h, or waits for more cells.
 *
 * Garbage can make this go on, but not for ever: after four times as many steps as there are pages
 * it is an error.
 */
#ifndef LOCKSTEP_PAGE_PEEL_H
#define LOCKSTEP_PAGE_PEEL_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/page/sketch.h"

struct difference_page;
struct error;
struct tally;

struct peel {
    const struct sketch_key *key; /* borrowed */
    const struct page_hash *own;  /* borrowed */
    uint32_t pages;
    /* owned; the difference, gauge included, without the pages that were taken out */
    struct sketch_cell *cells;
    uint64_t count;     /* cells that came */
    uint64_t settled;   /* cells that the pages found were taken out of */
    uint64_t room;      /* cells that are allocated, and places in the queue */
    uint32_t *queue;    /* owned; a ring of cell numbers */
    uint8_t *is_queued; /* owned; a byte for each cell */
    uint64_t queue_first, queue_count;
    uint32_t *slots; /* owned; for each page its place in found, plus 1; 0 for none */
    /* owned; until peel_finish their_hash is the difference of the hashes; 0: put back */
    struct difference_page *found;
    size_t found_count, found_room;
    uint64_t steps;     /* pages that were taken out or put back */
    int is_gauge_empty; /* found accounts for all that is in the gauge, its anchors too */
};

/* key, and own, the hashes of this side's pages: borrowed until peel_finish or peel_release. */
int peel_init(struct peel *peel, const struct sketch_key *key, const struct page_hash *own,
              struct error *error);
void peel_release(struct peel *peel);

/* Have room for `cells` cells in all, below 2^32. */
int peel_reserve(struct peel *peel, uint64_t cells, struct error *error);

/* The added cells peel->cells[count] to [count + added - 1], below room, have been filled in: count
 * them to the tally. */
void peel_add(struct peel *peel, size_t added, struct tally *tally);

/* Take out one page after the other, as far as that goes. ERR_PROTOCOL: no honest sketch takes this
 * long. */
int peel_run(struct peel *peel, struct error *error);

/* Whether nothing is left in the cells: all pages that differ were found. After peel_solve. */
int peel_is_solved(const struct peel *peel);

/* By how much the hashes of the page differ, by what was found so far; 0: it is not known to
 * differ. */
uint64_t peel_known(const struct peel *peel, uint32_t pgno);

/* The hashes of the page differ by `difference` more than was known: count it among those found and
 * take it out of its cells. */
int peel_take(struct peel *peel, uint32_t pgno, uint64_t difference, struct error *error);

/* Whether the cells from first to end - 1 are all empty. */
int peel_is_empty(const struct peel *peel, uint64_t first, uint64_t end);

/* Make found the list of the pages that differ, ascending, with their hashes. Cells are released.
 */
int peel_finish(struct peel *peel, struct error *error);

#endif
