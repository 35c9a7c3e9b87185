/*
 * page_stream: the pages that a receiver needs, as one compressed stream of bytes.
 *
 * The stream goes through compress.h. It is cut into blocks of columns (page_block.h). A record stands in the column of the
 * heads: the page number as the distance from the one before (at least 1; the first from 0), then a number:
 *   kind, its two lowest bits:
 *      WHOLE 0   page_size bytes in the column of the pages
 *      ZERO  1   a page of zeros
 *      MOVED 2   the number of an old page follows, as the distance from the one of the MOVED before, zigzag-coded; its
 *                content is this page's now
 *      PATCH 3   made from old pages and new bytes, as patch.h has it
 *   4   coded: the cell pointers of what comes out are coded (btree_page.h)
 *   8   the old page of the same number joins the window (patch.h) as it is
 *   16  other old pages join it, behind that one, with their cells packed: how many, and their numbers follow, each as
 *       the distance from the one that joined before it in this way, zigzag-coded
 * An old page is one that the receiver held before the sync. Page numbers ascend strictly. In old page 1 the bytes that no
 * hash covers count as zeros.
 */
#ifndef LOCKSTEP_PAGE_PAGE_STREAM_H
#define LOCKSTEP_PAGE_PAGE_STREAM_H

#include <stddef.h>
#include <stdint.h>

struct buffer;
struct error;

/* ---- sender ---- */
struct page_stream_writer;

/*
 * What the sender knows of the pages that the receiver holds from before the sync (its old pages). Each callback may be NULL
 * where nothing of the kind is known. Both get `arg`, are called for pages 1 to page_count, in any order and
 * more than once, and may be called as long as the writer lives.
 */
struct page_stream_base {
    uint32_t page_count;
    void *arg;
    /* The low half of the receiver's hash of its old page pgno; 0 where that is not known. */
    uint64_t (*hash)(void *arg, uint32_t pgno);
    /* Set *known, and where it is 1 put the page_size bytes of the receiver's old page pgno at page. 0 or a code. */
    int (*fetch)(void *arg, uint32_t pgno, uint8_t *page, int *known, struct error *error);
};

/*
 * level: zstd's (1 to 19), 0 for no compression. base, which may be NULL where nothing is known, is copied; what its arg points
 * at must outlive the writer. ERR_INTERNAL: memory ran out.
 */
int page_stream_writer_new(struct page_stream_writer **writer, uint32_t page_size, int level,
                           const struct page_stream_base *base, struct error *error);
void page_stream_writer_free(struct page_stream_writer *writer);

/*
 * Add page pgno (greater than the one before; never the lock-byte page) with page_size bytes at page, whose hash has the
 * low half hash_low (0 where it is not known). Compressed bytes are appended to out as they come, often none, at
 * times those of many pages (at most 2 MiB).
 */
int page_stream_writer_add(struct page_stream_writer *writer, uint32_t pgno, const uint8_t *page, uint64_t hash_low,
                           struct buffer *out, struct error *error);

/* End the stream; the rest of its bytes is appended to out. */
int page_stream_writer_finish(struct page_stream_writer *writer, struct buffer *out, struct error *error);

/* Pages added so far. */
uint32_t page_stream_writer_count(const struct page_stream_writer *writer);

/* ---- receiver ---- */
struct page_stream_reader;

/* Fetches old page pgno, as the receiver held it before the sync: page_size bytes to page. 0 or a code. */
typedef int page_stream_fetch(void *arg, uint32_t pgno, uint8_t *page, struct error *error);

/*
 * fetch is called for pages 1 to base_count, the pages that the receiver held before the sync. It may be NULL where base_count
 * is 0. A stream that asks for others ends in ERR_PROTOCOL.
 */
int page_stream_reader_new(struct page_stream_reader **reader, uint32_t page_size, uint32_t base_count,
                           page_stream_fetch *fetch, void *fetch_arg, struct error *error);
void page_stream_reader_free(struct page_stream_reader *reader);

/* Give it the next bytes of the stream; borrowed until page_stream_reader_next has asked for more. */
void page_stream_reader_feed(struct page_stream_reader *reader, const uint8_t *data, size_t len);

/*
 * The next page: *pgno and page_size bytes at *page, good until the next call. *pgno is 0 where more bytes must be fed first, or
 * where page_stream_reader_ended. ERR_PROTOCOL for a stream that is damaged, goes on behind its end, has page numbers that do not
 * ascend, or asks for more memory than allowed; and what fetch returns. A reader that failed must not be used again.
 */
int page_stream_reader_next(struct page_stream_reader *reader, uint32_t *pgno, const uint8_t **page, struct error *error);

/* What the page that was handed out last held before, where the stream needed that; else NULL. Good until the next call. */
const uint8_t *page_stream_reader_old(const struct page_stream_reader *reader);

/* Whether the end of the stream was reached, whole. */
int page_stream_reader_ended(const struct page_stream_reader *reader);

#endif
