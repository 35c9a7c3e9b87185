#include "protocol/page/page_kin.h"

#include <stdlib.h>
#include <xxhash.h>

#include "protocol/base/error.h"
#include "protocol/page/btree_page.h"

#define FEATURES     3 /* of each old page */
#define CELL_MIN     8 /* bytes that tell one cell from another */
#define START_OFFSET 8 /* an overflow page begins with another page's number, which changes */
#define START_SIZE   64

struct page_kin {
    uint64_t slot_count;
    uint32_t
        pgno_mask;   /* the bits of a slot that hold the page number; the others are of the hash */
    uint32_t *slots; /* 0 for a free one */
};

int page_kin_new(struct page_kin **kin, uint32_t page_count, struct error *error)
{
    struct page_kin *k = calloc(1, sizeof(*k));

    if (k != NULL) {
        k->slot_count = (uint64_t)page_count * FEATURES * 5 / 4 + 16;
        k->slots = calloc(k->slot_count, sizeof(*k->slots));
    }
    *kin = k;
    if (k == NULL || k->slots == NULL) {
        page_kin_free(k);
        *kin = NULL;
        return error_set(error, ERR_INTERNAL, "out of memory for an index of %lu pages",
                         (unsigned long)page_count);
    }
    while (k->pgno_mask < page_count)
        k->pgno_mask = k->pgno_mask << 1 | 1;
    return 0;
}

void page_kin_free(struct page_kin *kin)
{
    if (kin == NULL)
        return;
    free(kin->slots);
    free(kin);
}

static uint64_t first_slot(const struct page_kin *kin, uint64_t hash)
{
    return (hash >> 32) * kin->slot_count >> 32;
}

static void insert(struct page_kin *kin, uint64_t hash, uint32_t pgno)
{
    uint32_t tag = (uint32_t)hash & ~kin->pgno_mask;
    uint64_t i = first_slot(kin, hash);

    while (kin->slots[i] != 0) {
        if ((kin->slots[i] & ~kin->pgno_mask) == tag)
            return;
        i = i + 1 < kin->slot_count ? i + 1 : 0;
    }
    kin->slots[i] = tag | pgno;
}

void page_kin_add(struct page_kin *kin, uint32_t pgno, const uint8_t *page,
                  const struct btree_page *btree)
{
    uint32_t chosen[FEATURES] = {0, 1, btree->cell_count / 2u};

    if (btree->type == 0) {
        insert(kin, page_kin_start_hash(page), pgno);
        return;
    }
    for (int f = 0; f < FEATURES; f++) {
        const uint8_t *cell;
        uint32_t len;

        if (chosen[f] >= btree->cell_count)
            continue;
        cell = page_kin_cell(btree, chosen[f], page, &len);
        if (len > 0)
            insert(kin, page_kin_hash(cell, len), pgno);
    }
}

uint32_t page_kin_find(const struct page_kin *kin, uint64_t hash)
{
    uint32_t tag = (uint32_t)hash & ~kin->pgno_mask;

    for (uint64_t i = first_slot(kin, hash); kin->slots[i] != 0;
         i = i + 1 < kin->slot_count ? i + 1 : 0) {
        if ((kin->slots[i] & ~kin->pgno_mask) == tag)
            return kin->slots[i] & kin->pgno_mask;
    }
    return 0;
}

const uint8_t *page_kin_cell(const struct btree_page *btree, uint32_t i, const uint8_t *page,
                             uint32_t *len)
{
    const struct btree_cell *cell = &btree->cells[i];
    uint32_t child = btree->header_size == 12 ? 4 : 0;

    *len = cell->size >= child + CELL_MIN ? cell->size - child : 0;
    return page + cell->offset + child;
}

uint64_t page_kin_hash(const uint8_t *data, size_t len)
{
    return XXH3_64bits(data, len);
}

uint64_t page_kin_start_hash(const uint8_t *page)
{
    return XXH3_64bits(page + START_OFFSET, START_SIZE);
}
