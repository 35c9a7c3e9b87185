/*
 * page_stream: the pages that a receiver needs, as one compressed stream of bytes.
 *
 * The stream is one zstd frame (window at most LIMIT_ZSTD_WINDOW_LOG), or the bare records where compression is off,
 * after one byte that says which. A record is: the page number as the distance from the one before (LEB128, at
 * least 1; the first from 0), one byte for its kind, then what the kind needs:
 *   RAW    page_size bytes
 *   ZERO   nothing: a page of zeros
 *   and, against what the sender knows the receiver to hold, PATCH, COPY and MOVED (patch.h).
 * After the last record stands distance 0. Page numbers ascend strictly.
 */
#ifndef LOCKSTEP_PAGE_PAGE_STREAM_H
#define LOCKSTEP_PAGE_PAGE_STREAM_H

#include <stddef.h>
#include <stdint.h>

struct buffer;
struct error;

/* ---- sender ---- */
struct page_stream_writer;

/* level: zstd's (1 to 19), 0 for no compression. */
int page_stream_writer_new(struct page_stream_writer **writer, uint32_t page_size, int level, struct error *error);
void page_stream_writer_free(struct page_stream_writer *writer);

/*
 * Add page pgno (greater than the one before). Compressed bytes are appended to out as they come, often none. `base`, which
 * may be NULL, is page_size bytes that the receiver holds under the number base_pgno.
 */
int page_stream_writer_add(struct page_stream_writer *writer, uint32_t pgno, const uint8_t *page, const uint8_t *base,
                           uint32_t base_pgno, struct buffer *out, struct error *error);

/* End the stream; the rest of its bytes is appended to out. */
int page_stream_writer_finish(struct page_stream_writer *writer, struct buffer *out, struct error *error);

/* Records added so far. */
uint32_t page_stream_writer_count(const struct page_stream_writer *writer);

/* ---- receiver ---- */
struct page_stream_reader;

/* Fetches, for a record that needs it, page pgno as the receiver holds it from before the sync: page_size bytes to `page`. */
typedef int page_stream_fetch(void *arg, uint32_t pgno, uint8_t *page, struct error *error);

int page_stream_reader_new(struct page_stream_reader **reader, uint32_t page_size, page_stream_fetch *fetch, void *fetch_arg,
                           struct error *error);
void page_stream_reader_free(struct page_stream_reader *reader);

/* Give it the next bytes of the stream; borrowed until page_stream_reader_next has asked for more. */
void page_stream_reader_feed(struct page_stream_reader *reader, const uint8_t *data, size_t len);

/*
 * The next page: *pgno and page_size bytes at *page, good until the next call. *pgno is 0 where more bytes must be fed first, or
 * where page_stream_reader_ended. ERR_PROTOCOL for a stream that is damaged, goes on behind its end, has page numbers that do not
 * ascend, or asks for more memory than allowed.
 */
int page_stream_reader_next(struct page_stream_reader *reader, uint32_t *pgno, const uint8_t **page, struct error *error);

/* Whether the end of the stream was reached, whole. */
int page_stream_reader_ended(const struct page_stream_reader *reader);

#endif
