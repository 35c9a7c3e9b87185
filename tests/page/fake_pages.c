#include "tests/page/fake_pages.h"

#include <stdlib.h>
#include <string.h>

uint32_t fake_random(uint32_t x)
{
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return x;
}

struct fake_page *fake_page_new(uint32_t page_size, uint8_t type)
{
    struct fake_page *fake = calloc(1, sizeof(*fake));

    fake->page_size = page_size;
    fake->type = type;
    fake->bytes = calloc(1, page_size);
    fake->cells = calloc(page_size / 4, sizeof(*fake->cells));
    return fake;
}

void fake_page_free(struct fake_page *fake)
{
    free(fake->bytes);
    free(fake->cells);
    free(fake);
}

static uint32_t put_varint(uint8_t *at, uint32_t value)
{
    if (value < 128) {
        at[0] = (uint8_t)value;
        return 1;
    }
    if (value < 128 * 128) {
        at[0] = (uint8_t)(0x80 | value >> 7);
        at[1] = value & 0x7f;
        return 2;
    }
    at[0] = (uint8_t)(0x80 | value >> 14);
    at[1] = (uint8_t)(0x80 | (value >> 7 & 0x7f));
    at[2] = value & 0x7f;
    return 3;
}

/* Write the cell of a key (below 2^21): at most 80 bytes. Returns its size. */
static uint32_t make_cell(uint8_t *at, uint8_t type, uint32_t salt, uint32_t key)
{
    uint32_t x = fake_random((salt % 1000 + 1) * 65537u ^ key * 2654435761u ^ 0x9e3779b9u);
    uint32_t len = 0, payload = 20 + x % 40;

    if (type == FAKE_INDEX_INTERIOR || type == FAKE_TABLE_INTERIOR) {
        memset(at, 0, 4);
        at[2] = (uint8_t)(key >> 8);
        at[3] = (uint8_t)key;
        len = 4;
    }
    if (type != FAKE_TABLE_INTERIOR)
        len += put_varint(at + len, payload);
    if (type == FAKE_TABLE_LEAF || type == FAKE_TABLE_INTERIOR)
        len += put_varint(at + len, key);
    for (uint32_t i = 0; i < payload && type != FAKE_TABLE_INTERIOR; i++) {
        x = fake_random(x | 1);
        at[len++] = i % 5 == 0 ? (uint8_t)(x >> 9) : (uint8_t)('a' + i % 20);
    }
    return len;
}

uint32_t fake_page_fill_keys(struct fake_page *fake, uint32_t salt, const uint32_t *keys,
                             uint32_t key_count, int disorder)
{
    uint32_t header = fake->type < FAKE_INDEX_LEAF ? 12 : 8, count = 0;
    uint32_t at = fake->page_size, total = header;
    uint8_t cell[96];
    uint32_t *order;

    memset(fake->bytes, 0, fake->page_size);
    while (count < key_count && count < fake->page_size / 4) {
        fake->cells[count].size = make_cell(cell, fake->type, salt, keys[count]);
        if (total + 2 + fake->cells[count].size > fake->page_size)
            break;
        total += 2 + fake->cells[count++].size;
    }
    order = calloc(count + 1, sizeof(*order));
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    for (uint32_t i = 0, x = salt * 77 + 1; i < count && disorder; i++) {
        uint32_t other, swap = order[i];

        x = fake_random(x | 1);
        other = x % count;
        order[i] = order[other];
        order[other] = swap;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t c = order[i];

        make_cell(cell, fake->type, salt, keys[c]);
        at -= fake->cells[c].size;
        memcpy(fake->bytes + at, cell, fake->cells[c].size);
        fake->cells[c].offset = at;
        fake->bytes[header + 2 * c] = (uint8_t)(at >> 8);
        fake->bytes[header + 2 * c + 1] = (uint8_t)at;
    }
    free(order);
    fake->cell_count = count;
    fake->bytes[0] = fake->type;
    fake->bytes[3] = (uint8_t)(count >> 8);
    fake->bytes[4] = (uint8_t)count;
    fake->bytes[5] = (uint8_t)(at >> 8);
    fake->bytes[6] = (uint8_t)at;
    return count;
}

uint32_t fake_page_fill(struct fake_page *fake, uint32_t salt, uint32_t key, uint32_t max_cells,
                        int disorder)
{
    uint32_t count = max_cells < fake->page_size / 4 ? max_cells : fake->page_size / 4;
    uint32_t *keys = malloc((count + 1) * sizeof(*keys));
    uint32_t put;

    for (uint32_t i = 0; i < count; i++)
        keys[i] = key + i;
    put = fake_page_fill_keys(fake, salt, keys, count, disorder);
    free(keys);
    return key + put;
}
