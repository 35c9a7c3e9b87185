#include "protocol/sync/page_scan.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"

struct page_scan {
    atomic_uint users;
    struct page_index index;
    struct geometry geometry;
    struct database_state state;
    uint8_t key[HASH_KEY_SIZE];
    page_scan_gone *on_gone;
    void *arg;
};

int page_scan_new_take(struct page_scan **scan, struct page_index *index,
                       const struct database_state *state, const uint8_t key[HASH_KEY_SIZE],
                       page_scan_gone *on_gone, void *arg, struct error *error)
{
    struct page_scan *new = calloc(1, sizeof(*new));

    *scan = new;
    if (new == NULL) {
        page_index_release(index);
        return error_set(error, ERR_INTERNAL, "out of memory");
    }
    atomic_init(&new->users, 1);
    new->index = *index;
    *index = (struct page_index){0};
    new->geometry.page_size = new->index.page_size;
    new->geometry.page_count = new->index.page_count;
    page_index_root(&new->index, new->geometry.root);
    new->state = *state;
    memcpy(new->key, key, sizeof(new->key));
    new->on_gone = on_gone;
    new->arg = arg;
    return 0;
}

struct page_scan *page_scan_keep(struct page_scan *scan)
{
    atomic_fetch_add(&scan->users, 1);
    return scan;
}

void page_scan_free(struct page_scan *scan)
{
    size_t size;

    if (scan == NULL || atomic_fetch_sub(&scan->users, 1) > 1)
        return;
    size = page_scan_size(scan->index.page_count);
    page_index_release(&scan->index);
    if (scan->on_gone != NULL)
        scan->on_gone(scan->arg, size);
    explicit_bzero(scan, sizeof(*scan));
    free(scan);
}

const struct page_index *page_scan_index(const struct page_scan *scan)
{
    return &scan->index;
}

const struct geometry *page_scan_geometry(const struct page_scan *scan)
{
    return &scan->geometry;
}

const struct database_state *page_scan_state(const struct page_scan *scan)
{
    return &scan->state;
}

const uint8_t *page_scan_key(const struct page_scan *scan)
{
    return scan->key;
}

size_t page_scan_size(uint32_t page_count)
{
    return sizeof(struct page_scan) + (size_t)page_count * sizeof(struct page_hash);
}
