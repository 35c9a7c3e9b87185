/*
 * history_index: what a pull finds in the page-version log (history.h, whose head tells how pages
 * are kept): the keys of all pages in memory, which lead to the packs (history_packs.h).
 */
#ifndef LOCKSTEP_SYNC_HISTORY_INDEX_H
#define LOCKSTEP_SYNC_HISTORY_INDEX_H

#include <stdint.h>

struct history_file;
struct history_index;
struct page_version;

#define HISTORY_KEY_SIZE 20u

/* Read the keys of pages of that size. file: borrowed; where it is damaged it is thrown away, here
 * and below. NULL: memory ran out. */
struct history_index *history_index_new(struct history_file *file, uint32_t page_size);
void history_index_free(struct history_index *index);

/* As history_find. */
int history_index_find(struct history_index *index, uint32_t pgno, uint64_t hash_low,
                       const struct page_version *now, uint32_t page_size, uint8_t *page);

#endif
