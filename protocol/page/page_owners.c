#include "protocol/page/page_owners.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/page/page_hash.h"

/* In the header of page 1: bytes that are left unused at the end of each page; not 0 at 52 to 55: there are pointer maps. */
#define RESERVED_AT 20
#define VACUUM_AT   52
/* Bytes of an entry in a pointer map. */
#define MAP_ENTRY 5

int page_owners_init(struct page_owners *owners, uint32_t page_size, uint32_t page_count, const uint8_t *page1, struct error *error)
{
    static const uint8_t none[4];

    memset(owners, 0, sizeof(*owners));
    owners->page_size = page_size;
    owners->page_count = page_count;
    if (page_count == 0)
        return 0;
    owners->usable = page_size - page1[RESERVED_AT];
    owners->has_pointer_maps = memcmp(page1 + VACUUM_AT, none, sizeof(none)) != 0;
    owners->tree_of = calloc(page_count, sizeof(*owners->tree_of));
    return owners->tree_of != NULL ? 0 : error_set(error, ERR_INTERNAL, "out of memory");
}

void page_owners_release(struct page_owners *owners)
{
    for (size_t i = 0; i < owners->tree_count; i++) {
        free(owners->trees[i].name);
        free(owners->trees[i].table);
    }
    free(owners->trees);
    free(owners->tree_of);
    memset(owners, 0, sizeof(*owners));
}

static int add_tree(struct page_owners *owners, const char *name, int is_index, const char *table, struct error *error)
{
    struct page_tree *tree;

    if (owners->tree_count == owners->tree_room) {
        size_t room = owners->tree_room == 0 ? 16 : 2 * owners->tree_room;
        struct page_tree *grown = realloc(owners->trees, room * sizeof(*grown));
        if (grown == NULL)
            return error_set(error, ERR_INTERNAL, "out of memory");
        owners->trees = grown;
        owners->tree_room = room;
    }
    tree = &owners->trees[owners->tree_count];
    *tree = (struct page_tree){.name = strdup(name), .table = strdup(table), .is_index = is_index};
    owners->tree_count++;
    return tree->name != NULL && tree->table != NULL ? 0 : error_set(error, ERR_INTERNAL, "out of memory");
}

int page_owners_add(struct page_owners *owners, const char *name, int is_index, const char *table, uint32_t pgno, struct error *error)
{
    int rc;

    if (pgno == 0 || pgno > owners->page_count)
        return error_set(error, ERR_NOT_A_DATABASE, "%s holds page %u of a database of %u pages: it is damaged", name, pgno,
                         owners->page_count);
    if (owners->tree_count == 0 || strcmp(owners->trees[owners->tree_count - 1].name, name) != 0) {
        rc = add_tree(owners, name, is_index, table, error);
        if (rc != 0)
            return rc;
    }
    owners->trees[owners->tree_count - 1].pages++;
    owners->tree_of[pgno - 1] = (uint32_t)owners->tree_count;
    return 0;
}

/* The first is page 2; each maps as many pages as it has room for, which follow it. The lock-byte page makes one move on by a page. */
static int is_pointer_map(const struct page_owners *owners, uint32_t pgno)
{
    uint32_t span = owners->usable / MAP_ENTRY + 1;
    uint32_t map;

    if (!owners->has_pointer_maps || pgno < 2)
        return 0;
    map = (pgno - 2) / span * span + 2;
    return pgno == (map == page_lock_byte_page(owners->page_size) ? map + 1 : map);
}

enum page_owner page_owners_find(const struct page_owners *owners, uint32_t pgno, size_t *tree)
{
    uint32_t found = owners->tree_of[pgno - 1];

    *tree = found > 0 ? found - 1 : 0;
    if (found > 0)
        return OWNER_TREE;
    if (pgno == page_lock_byte_page(owners->page_size))
        return OWNER_LOCK_BYTES;
    return is_pointer_map(owners, pgno) ? OWNER_POINTER_MAP : OWNER_FREE;
}
