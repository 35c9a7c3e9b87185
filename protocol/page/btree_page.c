#include "protocol/page/btree_page.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"

enum { INDEX_INTERIOR = 2, TABLE_INTERIOR = 5, INDEX_LEAF = 10, TABLE_LEAF = 13 };

#define MIN_CELL 4 /* bytes that SQLite gives a cell at least */

int btree_page_init(struct btree_page *bp, uint32_t page_size, struct error *error)
{
    *bp = (struct btree_page){.page_size = page_size};
    bp->cells = malloc(sizeof(*bp->cells) * (page_size / MIN_CELL));
    if (bp->cells == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for the cells of a page");
    return 0;
}

void btree_page_release(struct btree_page *bp)
{
    free(bp->cells);
    bp->cells = NULL;
}

static uint32_t get16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* Read SQLite's varint at `at`. The bytes it takes, 0 where it goes beyond `end`. */
static uint32_t get_varint(const uint8_t *at, const uint8_t *end, uint64_t *value)
{
    *value = 0;
    for (uint32_t i = 0; i < 9 && at + i < end; i++) {
        if (i == 8) {
            *value = *value << 8 | at[i];
            return 9;
        }
        *value = *value << 7 | (at[i] & 0x7f);
        if (at[i] < 0x80)
            return i + 1;
    }
    return 0;
}

static int is_btree(uint8_t type)
{
    return type == INDEX_INTERIOR || type == TABLE_INTERIOR || type == INDEX_LEAF ||
           type == TABLE_LEAF;
}

/* How many bytes of a payload stand on the page itself, with the overflow page's number if there is
 * one. */
static uint64_t local_size(uint8_t type, uint32_t usable, uint64_t payload)
{
    uint32_t max = type == TABLE_LEAF ? usable - 35 : (usable - 12) * 64 / 255 - 23;
    uint32_t min = (usable - 12) * 32 / 255 - 23;
    uint64_t local;

    if (payload <= max)
        return payload;
    local = min + (payload - min) % (usable - 4);
    return (local <= max ? local : min) + 4;
}

/* The size of the cell at `offset`; 0 where it does not end within the page. */
static uint32_t cell_size(const uint8_t *page, uint32_t page_size, uint8_t type, uint32_t offset)
{
    const uint8_t *end = page + page_size;
    uint32_t head = type == INDEX_INTERIOR || type == TABLE_INTERIOR ? 4 : 0;
    uint64_t payload = 0, rowid, size;
    uint32_t len;

    if (offset + head >= page_size)
        return 0;
    if (type != TABLE_INTERIOR) {
        len = get_varint(page + offset + head, end, &payload);
        if (len == 0)
            return 0;
        head += len;
    }
    if (type == TABLE_INTERIOR || type == TABLE_LEAF) {
        len = get_varint(page + offset + head, end, &rowid);
        if (len == 0)
            return 0;
        head += len;
    }
    size = head + (type == TABLE_INTERIOR ? 0 : local_size(type, page_size, payload));
    if (size < MIN_CELL)
        size = MIN_CELL;
    return size <= page_size - offset ? (uint32_t)size : 0;
}

/* The header: type, size of the header, number of cells, start of content. 0 where it does not hold
 * together. */
static int parse_header(struct btree_page *bp, const uint8_t *page)
{
    uint32_t count = get16(page + 3);

    bp->type = 0;
    bp->cell_count = 0;
    if (!is_btree(page[0]))
        return 0;
    bp->header_size = page[0] == INDEX_INTERIOR || page[0] == TABLE_INTERIOR ? 12 : 8;
    bp->content = get16(page + 5);
    if (bp->content == 0)
        bp->content = 65536;
    if (count > bp->page_size / MIN_CELL || bp->header_size + 2 * count > bp->page_size)
        return 0;
    bp->type = page[0];
    bp->cell_count = (uint16_t)count;
    return 1;
}

int btree_page_parse(struct btree_page *bp, const uint8_t *page)
{
    uint32_t array_end;

    if (!parse_header(bp, page))
        return 0;
    array_end = bp->header_size + 2u * bp->cell_count;
    for (uint32_t i = 0; i < bp->cell_count; i++) {
        uint32_t offset = get16(page + bp->header_size + 2 * i);
        uint32_t size = 0;

        if (offset >= array_end && offset < bp->page_size)
            size = cell_size(page, bp->page_size, bp->type, offset);
        if (size == 0) {
            bp->type = 0;
            bp->cell_count = 0;
            return 0;
        }
        bp->cells[i] = (struct btree_cell){(uint16_t)offset, (uint16_t)size};
    }
    return 1;
}

/* Where cell i stands if the cells behind it are where they are and this one is packed against
 * them. */
static uint32_t packed_offset(const struct btree_page *bp, uint32_t i)
{
    if (i + 1 == bp->cell_count)
        return bp->content;
    return (uint32_t)bp->cells[i + 1].offset + bp->cells[i + 1].size;
}

uint32_t btree_page_packed_cells(const struct btree_page *bp)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < bp->cell_count; i++)
        count += bp->cells[i].offset == packed_offset(bp, i);
    return count;
}

void btree_page_code_pointers(const struct btree_page *bp, uint8_t *page)
{
    for (uint32_t i = 0; i < bp->cell_count; i++)
        put16(page + bp->header_size + 2 * i, bp->cells[i].offset - packed_offset(bp, i));
}

int btree_page_decode_pointers(uint8_t *page, uint32_t page_size)
{
    struct btree_page bp = {.page_size = page_size};
    uint32_t packed, array_end;

    if (!parse_header(&bp, page))
        return 0;
    packed = bp.content;
    array_end = bp.header_size + 2u * bp.cell_count;
    for (uint32_t i = bp.cell_count; i-- > 0;) {
        uint8_t *pointer = page + bp.header_size + 2 * i;
        uint32_t offset = (get16(pointer) + packed) & 0xffff;
        uint32_t size = 0;

        if (offset >= array_end && offset < page_size)
            size = cell_size(page, page_size, bp.type, offset);
        if (size == 0)
            return 0;
        put16(pointer, offset);
        packed = offset + size;
    }
    return 1;
}

void btree_page_pack(struct btree_page *bp, uint8_t *page, uint8_t *scratch)
{
    uint32_t array_end = bp->header_size + 2u * bp->cell_count;
    uint32_t total = 0, offset = bp->page_size;

    for (uint32_t i = 0; i < bp->cell_count; i++)
        total += bp->cells[i].size;
    if (array_end + total > bp->page_size)
        return;
    memcpy(scratch, page, array_end);
    memset(scratch + array_end, 0, bp->page_size - array_end);
    for (uint32_t i = 0; i < bp->cell_count; i++) {
        struct btree_cell *cell = &bp->cells[i];

        offset -= cell->size;
        memcpy(scratch + offset, page + cell->offset, cell->size);
        put16(scratch + bp->header_size + 2 * i, offset);
        cell->offset = (uint16_t)offset;
    }
    memcpy(page, scratch, bp->page_size);
}
