#include "protocol/page/page_block.h"

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/page/compress.h"

#define LEB128_MAX 5 /* bytes of a 32-bit number */

void page_block_init(struct page_block *block)
{
    for (int i = 0; i < COLUMN_COUNT; i++)
        buffer_init(&block->columns[i], LIMIT_PAGE_BLOCK);
}

void page_block_release(struct page_block *block)
{
    for (int i = 0; i < COLUMN_COUNT; i++)
        buffer_release(&block->columns[i]);
}

static size_t put_leb128(uint8_t *at, uint32_t value)
{
    size_t len = 0;

    while (value >= 0x80) {
        at[len++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    at[len++] = (uint8_t)value;
    return len;
}

int page_block_put(struct page_block *block, enum page_column column, uint32_t value,
                   struct error *error)
{
    struct buffer *buffer = &block->columns[column];
    uint8_t *spot;
    int rc = buffer_reserve(buffer, LEB128_MAX, &spot, error);

    if (rc == 0)
        buffer->len += put_leb128(spot, value);
    return rc;
}

int page_block_put_bytes(struct page_block *block, enum page_column column, const void *data,
                         size_t len, struct error *error)
{
    return buffer_append(&block->columns[column], data, len, error);
}

size_t page_block_size(const struct page_block *block)
{
    size_t size = 0;

    for (int i = 0; i < COLUMN_COUNT; i++)
        size += block->columns[i].len;
    return size;
}

void page_block_mark(const struct page_block *block, struct page_block_mark *mark)
{
    for (int i = 0; i < COLUMN_COUNT; i++)
        mark->len[i] = block->columns[i].len;
}

void page_block_rewind(struct page_block *block, const struct page_block_mark *mark)
{
    for (int i = 0; i < COLUMN_COUNT; i++)
        block->columns[i].len = mark->len[i];
}

int page_block_write(struct page_block *block, struct compressor *compressor, struct buffer *out,
                     struct error *error)
{
    uint8_t lengths[COLUMN_COUNT * LEB128_MAX];
    size_t len = 0;
    int rc;

    if (block->columns[COLUMN_HEADS].len == 0)
        return 0;
    for (int i = 0; i < COLUMN_COUNT; i++)
        len += put_leb128(lengths + len, (uint32_t)block->columns[i].len);
    rc = compressor_write(compressor, lengths, len, out, error);
    for (int i = 0; i < COLUMN_COUNT && rc == 0; i++) {
        struct buffer *column = &block->columns[i];

        rc = compressor_write(compressor, column->data, column->len, out, error);
        column->len = 0;
    }
    return rc;
}

/* Read a number at *at and move behind it. 1, 0 where it does not end before `end`, -1 for more
 * than 32 bits. */
static int get_leb128(const uint8_t **at, const uint8_t *end, uint32_t *value)
{
    uint64_t sum = 0;

    for (int i = 0; i < LEB128_MAX && *at + i < end; i++) {
        sum |= (uint64_t)((*at)[i] & 0x7f) << (7 * i);
        if ((*at)[i] < 0x80) {
            if (sum > UINT32_MAX)
                return -1;
            *at += i + 1;
            *value = (uint32_t)sum;
            return 1;
        }
    }
    return *at + LEB128_MAX <= end ? -1 : 0;
}

int page_block_open(struct page_block_reader *reader, const uint8_t *data, size_t len, size_t *size,
                    struct error *error)
{
    const uint8_t *at = data;
    uint32_t lengths[COLUMN_COUNT];
    size_t total = 0;

    *size = 0;
    for (int i = 0; i < COLUMN_COUNT; i++) {
        int got = get_leb128(&at, data + len, &lengths[i]);

        if (got < 0 || (got > 0 && lengths[i] > LIMIT_PAGE_BLOCK - total))
            return error_set(error, ERR_PROTOCOL,
                             "the stream of pages has a block of more than %u bytes",
                             LIMIT_PAGE_BLOCK);
        if (got == 0)
            return 0;
        if (lengths[COLUMN_HEADS] == 0) {
            *size = 1;
            return 0;
        }
        total += lengths[i];
    }
    *size = (size_t)(at - data) + total;
    if (len < *size)
        return 0;
    for (int i = 0; i < COLUMN_COUNT; i++) {
        reader->columns[i].at = at;
        at += lengths[i];
        reader->columns[i].end = at;
    }
    return 0;
}

int page_block_get(struct page_block_reader *reader, enum page_column column, uint32_t *value,
                   struct error *error)
{
    if (get_leb128(&reader->columns[column].at, reader->columns[column].end, value) <= 0)
        return error_set(error, ERR_PROTOCOL, "the stream of pages ends within a record");
    return 0;
}

int page_block_get_bytes(struct page_block_reader *reader, enum page_column column, size_t len,
                         const uint8_t **data, struct error *error)
{
    if (len > (size_t)(reader->columns[column].end - reader->columns[column].at))
        return error_set(error, ERR_PROTOCOL, "the stream of pages ends within a record");
    *data = reader->columns[column].at;
    reader->columns[column].at += len;
    return 0;
}

int page_block_column_done(const struct page_block_reader *reader, enum page_column column)
{
    return reader->columns[column].at == reader->columns[column].end;
}

int page_block_done(const struct page_block_reader *reader)
{
    for (int i = 0; i < COLUMN_COUNT; i++) {
        if (!page_block_column_done(reader, (enum page_column)i))
            return 0;
    }
    return 1;
}
