/* The receiving half of page_stream.h. */
#include <stdlib.h>
#include <string.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/page/btree_page.h"
#include "protocol/page/compress.h"
#include "protocol/page/page_block.h"
#include "protocol/page/page_hash.h"
#include "protocol/page/page_record.h"
#include "protocol/page/page_stream.h"
#include "protocol/page/patch.h"

#define BLOCK_HEAD_MAX (5u * COLUMN_COUNT) /* bytes of the lengths before a block's columns */

struct page_stream_reader {
    uint32_t page_size;
    uint32_t base_count; /* old pages that fetch may be asked for */
    page_stream_fetch *fetch;
    void *fetch_arg;
    uint32_t last_pgno;
    uint32_t last_join;  /* old page that joined the window last, of those that were packed */
    uint32_t last_moved; /* old page that a record named last as one that moved */
    int saw_end;         /* the byte behind the last block was read */
    int in_block;        /* `columns` stands in a whole block */
    struct decompressor *decompressor; /* owned */
    struct buffer block;               /* what of the block is there */
    struct page_block_reader columns;  /* where reading stands in it */
    struct patch_window window;        /* slots are NULL before the first record that needs them */
    uint8_t *page;                     /* owned; the page that is handed out */
    const uint8_t *old;                /* its old content, in the window; NULL: not there */
};

int page_stream_reader_new(struct page_stream_reader **reader, uint32_t page_size,
                           uint32_t base_count, page_stream_fetch *fetch, void *fetch_arg,
                           struct error *error)
{
    struct page_stream_reader *r = calloc(1, sizeof(*r));
    int rc;

    *reader = NULL;
    if (r == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for a stream of pages");
    r->page_size = page_size;
    r->base_count = base_count;
    r->fetch = fetch;
    r->fetch_arg = fetch_arg;
    buffer_init(&r->block, BLOCK_HEAD_MAX + LIMIT_PAGE_BLOCK);
    r->page = malloc(page_size);
    rc = decompressor_new(&r->decompressor, error);
    if (rc == 0 && r->page == NULL)
        rc = error_set(error, ERR_INTERNAL, "out of memory for a stream of pages");
    if (rc != 0)
        page_stream_reader_free(r);
    else
        *reader = r;
    return rc;
}

void page_stream_reader_free(struct page_stream_reader *reader)
{
    if (reader == NULL)
        return;
    decompressor_free(reader->decompressor);
    buffer_release(&reader->block);
    patch_window_release(&reader->window);
    free(reader->page);
    free(reader);
}

void page_stream_reader_feed(struct page_stream_reader *reader, const uint8_t *data, size_t len)
{
    decompressor_feed(reader->decompressor, data, len);
}

/* The byte behind the last block was read: nothing may follow. */
static int check_end(struct page_stream_reader *r, struct error *error)
{
    int rc;

    r->saw_end = 1;
    rc = decompressor_read(r->decompressor, &r->block, 2, error);
    if (rc == 0 && (r->block.len > 1 || decompressor_pending(r->decompressor) > 0))
        rc = error_set(error, ERR_PROTOCOL, "the stream of pages goes on behind its end");
    return rc;
}

/* Have a whole block there, or the end. Neither in_block nor saw_end: more bytes must be fed first.
 */
static int next_block(struct page_stream_reader *r, struct error *error)
{
    size_t want = 1, size;
    int rc;

    for (;;) {
        rc = decompressor_read(r->decompressor, &r->block, want, error);
        if (rc == 0 && r->block.len > 0)
            rc = page_block_open(&r->columns, r->block.data, r->block.len, &size, error);
        else
            size = 0;
        if (rc != 0)
            return rc;
        if (size == 1)
            return check_end(r, error);
        if (size != 0 && r->block.len >= size) {
            r->in_block = 1;
            return 0;
        }
        if (r->block.len < want)
            break;
        want = size != 0 ? size : r->block.len + 1;
    }
    if (decompressor_exhausted(r->decompressor))
        return error_set(error, ERR_PROTOCOL, "the stream of pages ends within a block");
    return 0;
}

/* Read old page pgno as both sides see it. */
static int fetch_old(struct page_stream_reader *r, uint32_t pgno, uint8_t *page,
                     struct error *error)
{
    int rc;

    if (pgno == 0 || pgno > r->base_count)
        return error_set(error, ERR_PROTOCOL, "the stream of pages builds on page %lu of %lu",
                         (unsigned long)pgno, (unsigned long)r->base_count);
    rc = r->fetch(r->fetch_arg, pgno, page, error);
    if (rc == 0)
        page_clear_volatile(pgno, page);
    return rc;
}

/* The page's own old content joins the window. */
static int join_own(struct page_stream_reader *r, uint32_t pgno, struct error *error)
{
    int rc = fetch_old(r, pgno, patch_window_spot(&r->window), error);

    if (rc != 0)
        return rc;
    patch_window_join_unseen(&r->window);
    r->old = patch_window_page(&r->window, 0);
    return 0;
}

static int join_other(struct page_stream_reader *r, uint32_t pgno, struct error *error)
{
    int rc = fetch_old(r, pgno, patch_window_spot(&r->window), error);

    if (rc == 0)
        patch_window_join(&r->window, pgno, 1);
    return rc;
}

/* Read the distance from page number *pgno to another, which it becomes. */
static int get_distance(struct page_stream_reader *r, uint32_t *pgno, struct error *error)
{
    uint32_t distance;
    int rc = page_block_get(&r->columns, COLUMN_HEADS, &distance, error);

    if (rc == 0)
        *pgno += (uint32_t)patch_unzigzag(distance);
    return rc;
}

/* Let the old pages that the record names join the window. *others: how many, apart from the page's
 * own. */
static int read_joins(struct page_stream_reader *r, uint32_t pgno, uint32_t record,
                      uint32_t *others, struct error *error)
{
    int rc = 0;

    *others = 0;
    if (r->window.slots == NULL)
        rc = patch_window_init(&r->window, r->page_size, error);
    if (rc == 0 && (record & RECORD_OWN) != 0)
        rc = join_own(r, pgno, error);
    if (rc != 0 || (record & RECORD_JOINS) == 0)
        return rc;
    rc = page_block_get(&r->columns, COLUMN_HEADS, others, error);
    if (rc == 0 && (*others == 0 || *others > PATCH_JOINS_MAX))
        rc = error_set(error, ERR_PROTOCOL, "the stream of pages builds a page on %lu others",
                       (unsigned long)*others);
    for (uint32_t i = 0; i < *others && rc == 0; i++) {
        rc = get_distance(r, &r->last_join, error);
        if (rc == 0)
            rc = join_other(r, r->last_join, error);
    }
    return rc;
}

/* Make the page that a record of this kind describes. */
static int read_content(struct page_stream_reader *r, uint32_t record, uint32_t others,
                        struct error *error)
{
    const uint8_t *bytes;
    int rc;

    switch (record & RECORD_KIND) {
    case RECORD_WHOLE:
        rc = page_block_get_bytes(&r->columns, COLUMN_PAGES, r->page_size, &bytes, error);
        if (rc == 0)
            memcpy(r->page, bytes, r->page_size);
        return rc;
    case RECORD_ZERO:
        memset(r->page, 0, r->page_size);
        return 0;
    case RECORD_MOVED:
        rc = get_distance(r, &r->last_moved, error);
        return rc == 0 ? fetch_old(r, r->last_moved, r->page, error) : rc;
    default:
        return patch_apply(&r->window, &r->columns, (record & RECORD_OWN) != 0 ? others : 0,
                           r->page, error);
    }
}

/* Read the next record of the block. */
static int read_record(struct page_stream_reader *r, struct error *error)
{
    uint32_t distance, record, others = 0;
    int rc;

    r->old = NULL;
    rc = page_block_get(&r->columns, COLUMN_HEADS, &distance, error);

    if (rc == 0 && (distance == 0 || distance > LIMIT_PAGE_COUNT - r->last_pgno))
        rc = error_set(error, ERR_PROTOCOL, "the stream of pages has no ascending page numbers");
    if (rc == 0)
        rc = page_block_get(&r->columns, COLUMN_HEADS, &record, error);
    if (rc == 0 && record > RECORD_FLAGS)
        rc = error_set(error, ERR_PROTOCOL, "the stream of pages has a record of kind %lu",
                       (unsigned long)record);
    if (rc != 0)
        return rc;
    if (record > (RECORD_KIND | RECORD_CODED) || (record & RECORD_KIND) == RECORD_PATCH)
        rc = read_joins(r, r->last_pgno + distance, record, &others, error);
    if (rc == 0)
        rc = read_content(r, record, others, error);
    if (rc == 0 && (record & RECORD_CODED) != 0 &&
        !btree_page_decode_pointers(r->page, r->page_size))
        rc = error_set(error, ERR_PROTOCOL,
                       "the stream of pages has cell pointers that lead astray");
    r->last_pgno += distance;
    return rc;
}

int page_stream_reader_next(struct page_stream_reader *reader, uint32_t *pgno, const uint8_t **page,
                            struct error *error)
{
    struct page_stream_reader *r = reader;
    int rc = 0;

    *pgno = 0;
    *page = NULL;
    if (r->saw_end)
        return check_end(r, error);
    if (r->in_block && page_block_column_done(&r->columns, COLUMN_HEADS)) {
        if (!page_block_done(&r->columns))
            return error_set(error, ERR_PROTOCOL,
                             "the stream of pages has a block with more than its records need");
        r->in_block = 0;
        r->block.len = 0;
    }
    if (!r->in_block)
        rc = next_block(r, error);
    if (rc != 0 || !r->in_block)
        return rc;
    rc = read_record(r, error);
    if (rc == 0) {
        *pgno = r->last_pgno;
        *page = r->page;
    }
    return rc;
}

const uint8_t *page_stream_reader_old(const struct page_stream_reader *reader)
{
    return reader->old;
}

int page_stream_reader_ended(const struct page_stream_reader *reader)
{
    return reader->saw_end && decompressor_may_end(reader->decompressor);
}
