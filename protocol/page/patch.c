#include "protocol/page/patch.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/page/page_block.h"

int patch_window_init(struct patch_window *window, uint32_t page_size, struct error *error)
{
    int rc;

    *window = (struct patch_window){.page_size = page_size};
    window->slots = calloc(PATCH_SLOTS, page_size);
    window->scratch = malloc(page_size);
    rc = btree_page_init(&window->btree, page_size, error);
    if (rc == 0 && (window->slots == NULL || window->scratch == NULL))
        rc = error_set(error, ERR_INTERNAL, "out of memory for a window of pages");
    return rc;
}

void patch_window_release(struct patch_window *window)
{
    btree_page_release(&window->btree);
    free(window->slots);
    free(window->scratch);
    *window = (struct patch_window){0};
}

uint8_t *patch_window_spot(struct patch_window *window)
{
    return window->slots + (size_t)((window->newest + 1) % PATCH_SLOTS) * window->page_size;
}

void patch_window_join(struct patch_window *window, uint32_t pgno, int pack)
{
    uint8_t *page = patch_window_spot(window);

    window->newest = (window->newest + 1) % PATCH_SLOTS;
    window->btree.type = 0;
    window->btree.cell_count = 0;
    if (pgno != 1 && btree_page_parse(&window->btree, page) && pack)
        btree_page_pack(&window->btree, page, window->scratch);
}

void patch_window_join_unseen(struct patch_window *window)
{
    window->newest = (window->newest + 1) % PATCH_SLOTS;
}

uint8_t *patch_window_page(const struct patch_window *window, uint32_t age)
{
    uint32_t slot = (window->newest + PATCH_SLOTS - age) % PATCH_SLOTS;

    return window->slots + (size_t)slot * window->page_size;
}

uint32_t patch_zigzag(int32_t value)
{
    return value < 0 ? ~((uint32_t)value << 1) : (uint32_t)value << 1;
}

int32_t patch_unzigzag(uint32_t value)
{
    return (int32_t)(value >> 1) ^ -(int32_t)(value & 1);
}

/* Where the next copy comes from by default. */
struct place {
    uint32_t age;    /* of the page in the window */
    uint32_t offset; /* at most page_size */
};

static int wrong(struct error *error)
{
    return error_set(error, ERR_PROTOCOL, "the stream of pages has a patch that is out of bounds");
}

/* Read where the copy of len bytes comes from. *from stays NULL for zeros. `place` moves there. */
static int read_source(const struct patch_window *window, struct page_block_reader *block,
                       uint32_t len, struct place *place, const uint8_t **from, struct error *error)
{
    uint32_t source;
    int rc = page_block_get(block, COLUMN_SOURCES, &source, error);

    *from = NULL;
    if (rc != 0 || source == PATCH_SOURCE_ZEROS)
        return rc;
    if (source % 2 == 0) {
        int64_t offset = (int64_t)place->offset + patch_unzigzag(source / 2);

        if (offset < 0 || offset > window->page_size)
            return wrong(error);
        place->offset = (uint32_t)offset;
    } else {
        place->age = (source - PATCH_SOURCE_SLOT) / 2;
        rc = page_block_get(block, COLUMN_OFFSETS, &place->offset, error);
        if (rc != 0)
            return rc;
        if (place->age >= PATCH_SLOTS)
            return wrong(error);
    }
    if (place->offset > window->page_size || len > window->page_size - place->offset)
        return wrong(error);
    *from = patch_window_page(window, place->age) + place->offset;
    return 0;
}

int patch_apply(const struct patch_window *window, struct page_block_reader *block,
                uint32_t start_age, uint8_t *page, struct error *error)
{
    uint32_t size = window->page_size, at = 0;
    struct place place = {start_age, 0};

    while (at < size) {
        const uint8_t *from;
        uint32_t len;
        int rc = page_block_get(block, COLUMN_LITERAL_LENS, &len, error);

        if (rc == 0 && len > size - at)
            rc = wrong(error);
        if (rc == 0)
            rc = page_block_get_bytes(block, COLUMN_LITERALS, len, &from, error);
        if (rc != 0)
            return rc;
        memcpy(page + at, from, len);
        at += len;
        place.offset = len < size - place.offset ? place.offset + len : size;
        if (at == size)
            break;
        rc = page_block_get(block, COLUMN_COPY_LENS, &len, error);
        if (rc == 0 && (len == 0 || len > size - at))
            rc = wrong(error);
        if (rc == 0)
            rc = read_source(window, block, len, &place, &from, error);
        if (rc != 0)
            return rc;
        if (from != NULL)
            memcpy(page + at, from, len);
        else
            memset(page + at, 0, len);
        at += len;
        place.offset = len < size - place.offset ? place.offset + len : size;
    }
    return 0;
}
