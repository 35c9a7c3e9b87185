#include "protocol/page/page_stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/page/compress.h"
#include "protocol/page/page_moves.h"

enum record_kind { RECORD_RAW = 0, RECORD_ZERO = 1, RECORD_MOVED = 2 };

#define LEB128_MAX      5                    /* bytes of a 32-bit number */
#define RECORD_HEAD_MAX (2 * LEB128_MAX + 1) /* distance, kind, another number */

struct page_stream_writer {
    uint32_t page_size;
    uint32_t last_pgno;            /* page number of the record before; 0 at the start */
    uint32_t count;                /* records added */
    struct compressor *compressor; /* owned */
    struct page_moves *moves;      /* owned; NULL where the receiver's hashes are not known */
};

struct page_stream_reader {
    uint32_t page_size;
    uint32_t base_count; /* pages that fetch may be asked for */
    page_stream_fetch *fetch;
    void *fetch_arg;
    uint32_t last_pgno;
    int saw_end;                       /* distance 0 was read */
    int taken;                         /* the record was handed out: the next one starts afresh */
    struct decompressor *decompressor; /* owned */
    struct buffer record;              /* what of the next record is there */
    uint8_t *page; /* page_size bytes: a page that is not in the record itself */
};

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

int page_stream_writer_new(struct page_stream_writer **writer, uint32_t page_size, int level,
                           const struct page_stream_base *base, struct error *error)
{
    struct page_stream_writer *w = calloc(1, sizeof(*w));
    int rc;

    *writer = w;
    if (w == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for a stream of pages");
    w->page_size = page_size;
    rc = compressor_new(&w->compressor, level, error);
    if (rc == 0 && base != NULL && base->hash != NULL)
        rc = page_moves_new(&w->moves, base->page_count, base->hash, base->arg, error);
    if (rc != 0) {
        page_stream_writer_free(w);
        *writer = NULL;
    }
    return rc;
}

void page_stream_writer_free(struct page_stream_writer *writer)
{
    if (writer == NULL)
        return;
    compressor_free(writer->compressor);
    page_moves_free(writer->moves);
    free(writer);
}

static int is_zero(const uint8_t *page, uint32_t page_size)
{
    return page[0] == 0 && memcmp(page, page + 1, page_size - 1) == 0;
}

int page_stream_writer_add(struct page_stream_writer *writer, uint32_t pgno, const uint8_t *page,
                           uint64_t hash_low, struct buffer *out, struct error *error)
{
    uint8_t head[RECORD_HEAD_MAX];
    uint32_t moved_from = 0;
    size_t len;
    int rc;

    assert(pgno > writer->last_pgno);
    len = put_leb128(head, pgno - writer->last_pgno);
    if (writer->moves != NULL && pgno != 1)
        moved_from = page_moves_find(writer->moves, hash_low);
    if (is_zero(page, writer->page_size)) {
        head[len++] = RECORD_ZERO;
    } else if (moved_from != 0) {
        head[len++] = RECORD_MOVED;
        len += put_leb128(head + len, moved_from);
    } else {
        head[len++] = RECORD_RAW;
    }
    rc = compressor_write(writer->compressor, head, len, out, error);
    if (rc == 0 && head[len - 1] == RECORD_RAW && moved_from == 0)
        rc = compressor_write(writer->compressor, page, writer->page_size, out, error);
    if (rc == 0) {
        writer->last_pgno = pgno;
        writer->count++;
    }
    return rc;
}

int page_stream_writer_finish(struct page_stream_writer *writer, struct buffer *out,
                              struct error *error)
{
    uint8_t end = 0;
    int rc = compressor_write(writer->compressor, &end, 1, out, error);

    return rc == 0 ? compressor_finish(writer->compressor, out, error) : rc;
}

uint32_t page_stream_writer_count(const struct page_stream_writer *writer)
{
    return writer->count;
}

int page_stream_reader_new(struct page_stream_reader **reader, uint32_t page_size,
                           uint32_t base_count, page_stream_fetch *fetch, void *fetch_arg,
                           struct error *error)
{
    struct page_stream_reader *r = calloc(1, sizeof(*r));
    int rc;

    *reader = r;
    if (r != NULL)
        r->page = malloc(page_size);
    if (r == NULL || r->page == NULL) {
        page_stream_reader_free(r);
        *reader = NULL;
        return error_set(error, ERR_INTERNAL, "out of memory for a stream of pages");
    }
    r->page_size = page_size;
    r->base_count = fetch != NULL ? base_count : 0;
    r->fetch = fetch;
    r->fetch_arg = fetch_arg;
    buffer_init(&r->record, RECORD_HEAD_MAX + (size_t)page_size);
    rc = decompressor_new(&r->decompressor, error);
    if (rc != 0) {
        page_stream_reader_free(r);
        *reader = NULL;
    }
    return rc;
}

void page_stream_reader_free(struct page_stream_reader *reader)
{
    if (reader == NULL)
        return;
    decompressor_free(reader->decompressor);
    buffer_release(&reader->record);
    free(reader->page);
    free(reader);
}

void page_stream_reader_feed(struct page_stream_reader *reader, const uint8_t *data, size_t len)
{
    decompressor_feed(reader->decompressor, data, len);
}

/* Have at least `want` bytes of the record there. *have says whether that worked out. */
static int want_bytes(struct page_stream_reader *r, size_t want, int *have, struct error *error)
{
    int rc = decompressor_read(r->decompressor, &r->record, want, error);

    *have = r->record.len >= want;
    if (rc == 0 && !*have && decompressor_exhausted(r->decompressor))
        rc = error_set(error, ERR_PROTOCOL, "the stream of pages ends within a record");
    return rc;
}

/* Read the number at *at, which is moved behind it. *have: whether all of it is there. */
static int want_leb128(struct page_stream_reader *r, size_t *at, uint32_t *value, int *have,
                       struct error *error)
{
    uint64_t sum = 0;

    for (int i = 0; i < LEB128_MAX; i++) {
        uint8_t byte;
        int rc = want_bytes(r, *at + (size_t)i + 1, have, error);

        if (rc != 0 || !*have)
            return rc;
        byte = r->record.data[*at + (size_t)i];
        sum |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            if (sum > UINT32_MAX)
                break;
            *at += (size_t)i + 1;
            *value = (uint32_t)sum;
            return 0;
        }
    }
    return error_set(error, ERR_PROTOCOL, "a number in the stream of pages has more than 32 bits");
}

/* Distance 0 was read: nothing may follow. */
static int check_end(struct page_stream_reader *r, struct error *error)
{
    int rc;

    r->saw_end = 1;
    rc = decompressor_read(r->decompressor, &r->record, r->record.len + 1, error);
    if (rc == 0 && (r->record.len > 1 || decompressor_pending(r->decompressor) > 0))
        rc = error_set(error, ERR_PROTOCOL, "the stream of pages goes on behind its end");
    return rc;
}

/* Read the content that a record of this kind has, from `at` on. *page stays NULL where bytes are
 * missing. */
static int read_content(struct page_stream_reader *r, uint8_t kind, size_t at, const uint8_t **page,
                        struct error *error)
{
    uint32_t from;
    int have, rc = 0;

    switch (kind) {
    case RECORD_RAW:
        rc = want_bytes(r, at + r->page_size, &have, error);
        if (rc == 0 && have)
            *page = r->record.data + at;
        return rc;
    case RECORD_ZERO:
        memset(r->page, 0, r->page_size);
        *page = r->page;
        return 0;
    case RECORD_MOVED:
        rc = want_leb128(r, &at, &from, &have, error);
        if (rc != 0 || !have)
            return rc;
        if (from == 0 || from > r->base_count)
            return error_set(error, ERR_PROTOCOL, "the stream of pages wants old page %lu of %lu",
                             (unsigned long)from, (unsigned long)r->base_count);
        rc = r->fetch(r->fetch_arg, from, r->page, error);
        if (rc == 0)
            *page = r->page;
        return rc;
    default:
        return error_set(error, ERR_PROTOCOL, "the stream of pages has a record of kind %u", kind);
    }
}

int page_stream_reader_next(struct page_stream_reader *reader, uint32_t *pgno, const uint8_t **page,
                            struct error *error)
{
    struct page_stream_reader *r = reader;
    uint32_t distance;
    size_t at = 0;
    int have, rc;

    *pgno = 0;
    *page = NULL;
    if (r->saw_end)
        return check_end(r, error);
    if (r->taken) {
        r->record.len = 0;
        r->taken = 0;
    }
    rc = want_leb128(r, &at, &distance, &have, error);
    if (rc != 0 || !have)
        return rc;
    if (distance == 0)
        return check_end(r, error);
    if (distance > LIMIT_PAGE_COUNT - r->last_pgno)
        return error_set(error, ERR_PROTOCOL, "the stream of pages has a page number beyond %u",
                         LIMIT_PAGE_COUNT);
    rc = want_bytes(r, at + 1, &have, error);
    if (rc != 0 || !have)
        return rc;
    rc = read_content(r, r->record.data[at], at + 1, page, error);
    if (rc == 0 && *page != NULL) {
        r->last_pgno += distance;
        r->taken = 1;
        *pgno = r->last_pgno;
    }
    return rc;
}

int page_stream_reader_ended(const struct page_stream_reader *reader)
{
    return reader->saw_end && decompressor_may_end(reader->decompressor);
}
