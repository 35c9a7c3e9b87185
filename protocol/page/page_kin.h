/*
 * page_kin: which old page of the receiver has some of the same cells as a new page.
 *
 * After a VACUUM that follows deletes, no old page is found again whole, but its cells are, side by side, on one or two new
 * pages. Of each old page three features are kept: the hash of its first, second and middle cell (of a page that is no
 * b-tree page, as the overflow pages of large values, that of 64 bytes near its start). Two new pages that share
 * an old page's cells in key order meet its first cell in one of them and still have the page in their
 * window in the other (patch.h). The second and third are for the case that the first is gone.
 *
 * A slot of the open-addressed table is 4 bytes: the page number, and of the hash as many bits as are left. A false match,
 * at most one in some hundred, costs a useless page in the window. In all 15 bytes for each old page.
 */
#ifndef LOCKSTEP_PAGE_PAGE_KIN_H
#define LOCKSTEP_PAGE_PAGE_KIN_H

#include <stddef.h>
#include <stdint.h>

struct btree_page;
struct error;
struct page_kin;

/* Make an empty index for pages up to page_count. ERR_INTERNAL: memory ran out. */
int page_kin_new(struct page_kin **kin, uint32_t page_count, struct error *error);
void page_kin_free(struct page_kin *kin);

/* Index old page pgno; btree is what btree_page_parse made of it. */
void page_kin_add(struct page_kin *kin, uint32_t pgno, const uint8_t *page, const struct btree_page *btree);

/* The number of an old page that has a cell, or a start, with this hash; 0 for none. */
uint32_t page_kin_find(const struct page_kin *kin, uint64_t hash);

/*
 * The part of cell number i that moves with it: all of it, without the child's page number on interior pages. *len is 0 where that is
 * too short to tell cells apart.
 */
const uint8_t *page_kin_cell(const struct btree_page *btree, uint32_t i, const uint8_t *page, uint32_t *len);

/* The hash of such a part, and of the start of a page that is no b-tree page. */
uint64_t page_kin_hash(const uint8_t *data, size_t len);
uint64_t page_kin_start_hash(const uint8_t *page);

#endif
