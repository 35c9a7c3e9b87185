/*
 * page_moves: which old page of the receiver has a given hash.
 *
 * After a VACUUM most pages hold what the receiver already has under another number. The table is open-addressed
 * and holds page numbers only, 4 bytes a slot, at most 12 bytes a page; the hashes stay where the caller has them.
 */
#ifndef LOCKSTEP_PAGE_PAGE_MOVES_H
#define LOCKSTEP_PAGE_PAGE_MOVES_H

#include <stdint.h>

struct error;
struct page_moves;

/* Tells the hash (its low half) of old page pgno, 0 where it is not known. */
typedef uint64_t page_moves_hash(void *arg, uint32_t pgno);

/* Index pages 2 to page_count (page 1 has bytes that no hash covers). hash is called again by page_moves_find. */
int page_moves_new(struct page_moves **moves, uint32_t page_count, page_moves_hash *hash, void *arg,
                   struct error *error);
void page_moves_free(struct page_moves *moves);

/* The number of an old page with that hash, the lowest one of several; 0 for none. */
uint32_t page_moves_find(const struct page_moves *moves, uint64_t hash);

#endif
