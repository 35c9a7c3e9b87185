/*
 * page_block: the records of some pages, split into columns of like with like.
 *
 * A page stream is a row of blocks and a byte 0. A block is the lengths of its columns (LEB128 each), then the
 * columns one behind the other, in the order of enum page_column: like stands with like, and zstd packs it better.
 * Measured on the work of bench/README.md at level 3, blocks of 256 pages against blocks of one: vacuum 3.41 MB (3.62),
 * batchjob 1.83 MB (1.88), upd100 5,293 bytes (5,441), but upd1pct 557 KB (523), whose patches repeat as a whole.
 * The first column is never empty: its length 0 is the end of the stream.
 */
#ifndef LOCKSTEP_PAGE_PAGE_BLOCK_H
#define LOCKSTEP_PAGE_PAGE_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/buffer.h"

struct compressor;
struct error;

enum page_column {
    COLUMN_HEADS,         /* of each record: page number, kind and what goes with it */
    COLUMN_LITERAL_LENS,  /* patch.h has these five */
    COLUMN_COPY_LENS,
    COLUMN_SOURCES,
    COLUMN_OFFSETS,
    COLUMN_LITERALS,
    COLUMN_PAGES,         /* pages that are sent whole */
    COLUMN_COUNT
};

/* ---- sender ---- */
struct page_block {
    struct buffer columns[COLUMN_COUNT];
};

void page_block_init(struct page_block *block);
void page_block_release(struct page_block *block);

/* Append a number as LEB128, or bytes, to a column. ERR_INTERNAL: memory ran out. */
int page_block_put(struct page_block *block, enum page_column column, uint32_t value, struct error *error);
int page_block_put_bytes(struct page_block *block, enum page_column column, const void *data, size_t len,
                         struct error *error);

/* Bytes of all columns together. */
size_t page_block_size(const struct page_block *block);

/* Remember how full the columns are, and go back to that. */
struct page_block_mark {
    size_t len[COLUMN_COUNT];
};
void page_block_mark(const struct page_block *block, struct page_block_mark *mark);
void page_block_rewind(struct page_block *block, const struct page_block_mark *mark);

/* Write the block, if it is not empty, and empty it. */
int page_block_write(struct page_block *block, struct compressor *compressor, struct buffer *out, struct error *error);

/* ---- receiver ---- */
struct page_block_reader {
    struct {
        const uint8_t *at;  /* borrowed; what of the column is left */
        const uint8_t *end;
    } columns[COLUMN_COUNT];
};

/*
 * Look at the len bytes at data, where a block starts. *size becomes that of the whole block: 1 for the end of the stream, 0 where
 * too little is there to say. Once len is *size or more, the reader stands at the start of every column. ERR_PROTOCOL: the
 * block is larger than LIMIT_PAGE_BLOCK, or a number is damaged.
 */
int page_block_open(struct page_block_reader *reader, const uint8_t *data, size_t len, size_t *size,
                    struct error *error);

/* The next number, or bytes (which stay in the block), of a column. ERR_PROTOCOL where the column has no more. */
int page_block_get(struct page_block_reader *reader, enum page_column column, uint32_t *value, struct error *error);
int page_block_get_bytes(struct page_block_reader *reader, enum page_column column, size_t len, const uint8_t **data,
                         struct error *error);

/* Whether the column (every column) was read to its end. */
int page_block_column_done(const struct page_block_reader *reader, enum page_column column);
int page_block_done(const struct page_block_reader *reader);

#endif
