/* The sending half of page_stream.h: which form is the cheapest for each page. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/page/btree_page.h"
#include "protocol/page/compress.h"
#include "protocol/page/page_block.h"
#include "protocol/page/page_hash.h"
#include "protocol/page/page_kin.h"
#include "protocol/page/page_moves.h"
#include "protocol/page/page_record.h"
#include "protocol/page/page_stream.h"
#include "protocol/page/patch.h"
#include "protocol/page/patch_encoder.h"

#define BLOCK_PAGES 256u                   /* pages in a block, at most */
#define BLOCK_BYTES (LIMIT_PAGE_BLOCK / 4) /* a block that has this many is written */

/*
 * The compressor lets bytes out when it has COMPRESS_PART of them. Scattered changes of 25,783
 * pages are hardly more, so after so many pages it has to let out what it has: the receiver then
 * works while the sender does, for 2.4 % more bytes.
 */
#define FLUSH_PAGES 2048u

/*
 * The index of kin is made once this many pages, and one for 1024 old ones, are nothing like their
 * old content, and they are every third of those that had to be made anew. After a VACUUM that is
 * so at once; among scattered changes it is not, and reading all old pages would cost more than it
 * saves.
 */
#define STRANGERS_MIN   8u
#define STRANGERS_SHARE 3u

/*
 * Once there is that index, and so many pages in a row were nothing like their old content, only
 * every SAMPLE_EVERYth page's is looked at until one is like it again: old pages that have to be
 * found (history.h) cost more than what they save there, and the index tells of them as well.
 */
#define STRANGERS_ROW 32u
#define SAMPLE_EVERY  16u

struct page_stream_writer {
    uint32_t page_size;
    uint32_t last_pgno;   /* page number of the record before; 0 at the start */
    uint32_t last_join;   /* old page that joined the window last, of those that were packed */
    uint32_t last_moved;  /* old page that was sent last as one that moved */
    uint32_t count;       /* records added */
    uint32_t block_pages; /* of them, those in the block */
    uint32_t held_pages;  /* written to the compressor since it let bytes out */
    size_t held_bytes;    /* the same, bytes */
    uint32_t changed;     /* pages with known old content that did not move as a whole */
    uint32_t strangers;   /* of them, those that are nothing like it */
    uint32_t row;         /* pages that were nothing like it since the last that was */
    struct page_stream_base base;  /* what is known of the old pages; page_count 0 for nothing */
    struct compressor *compressor; /* owned */
    struct page_moves *moves;      /* owned; NULL before it is needed */
    struct page_kin *kin;          /* owned; NULL before it is needed */
    struct patch_encoder *encoder; /* owned; NULL before it is needed */
    struct page_block block;       /* records that wait to be compressed */
    struct btree_page btree;       /* the cells of the page that is added */
    uint8_t *own;                  /* owned; its old content */
    uint8_t *coded;                /* owned; the page with its cell pointers coded */
};

int page_stream_writer_new(struct page_stream_writer **writer, uint32_t page_size, int level,
                           const struct page_stream_base *base, struct error *error)
{
    struct page_stream_writer *w = calloc(1, sizeof(*w));
    int rc;

    *writer = NULL;
    if (w == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for a stream of pages");
    w->page_size = page_size;
    if (base != NULL)
        w->base = *base;
    page_block_init(&w->block);
    w->own = malloc(page_size);
    w->coded = malloc(page_size);
    rc = btree_page_init(&w->btree, page_size, error);
    if (rc == 0)
        rc = compressor_new(&w->compressor, level, error);
    if (rc == 0 && (w->own == NULL || w->coded == NULL))
        rc = error_set(error, ERR_INTERNAL, "out of memory for a stream of pages");
    if (rc != 0)
        page_stream_writer_free(w);
    else
        *writer = w;
    return rc;
}

void page_stream_writer_free(struct page_stream_writer *writer)
{
    if (writer == NULL)
        return;
    compressor_free(writer->compressor);
    page_moves_free(writer->moves);
    page_kin_free(writer->kin);
    patch_encoder_free(writer->encoder);
    page_block_release(&writer->block);
    btree_page_release(&writer->btree);
    free(writer->own);
    free(writer->coded);
    free(writer);
}

/* Fetch an old page as both sides see it. */
static int fetch_old(void *arg, uint32_t pgno, uint8_t *page, int *known, struct error *error)
{
    struct page_stream_writer *w = arg;
    int rc;

    *known = 0;
    if (w->base.fetch == NULL || pgno > w->base.page_count)
        return 0;
    rc = w->base.fetch(w->base.arg, pgno, page, known, error);
    if (rc == 0 && *known)
        page_clear_volatile(pgno, page);
    return rc;
}

/* Index all old pages by their cells. Reads every one of them. */
static int make_kin(struct page_stream_writer *w, struct error *error)
{
    uint32_t lock_page = page_lock_byte_page(w->page_size);
    struct btree_page btree;
    int known, rc = btree_page_init(&btree, w->page_size, error);

    if (rc == 0)
        rc = page_kin_new(&w->kin, w->base.page_count, error);
    for (uint64_t pgno = 2; pgno <= w->base.page_count && rc == 0; pgno++) {
        if (pgno == lock_page)
            continue;
        rc = fetch_old(w, (uint32_t)pgno, w->coded, &known, error);
        if (rc != 0 || !known)
            continue;
        btree_page_parse(&btree, w->coded);
        page_kin_add(w->kin, (uint32_t)pgno, w->coded, &btree);
    }
    btree_page_release(&btree);
    return rc;
}

static int is_zero(const uint8_t *page, uint32_t page_size)
{
    return page[0] == 0 && memcmp(page, page + 1, page_size - 1) == 0;
}

/* Whether one in sixteen of the page's words, not counting zeros, is the same in both. */
static int is_alike(const uint8_t *page, const uint8_t *old, uint32_t page_size)
{
    uint32_t same = 0;

    for (uint32_t i = 0; i < page_size; i += 8) {
        uint64_t a, b;

        memcpy(&a, page + i, 8);
        memcpy(&b, old + i, 8);
        same += a == b && a != 0;
    }
    return same >= page_size / 8 / 16;
}

/* The old page that has the very content, by the receiver's hash of it; 0 for none. */
static int find_moved(struct page_stream_writer *w, uint32_t pgno, uint64_t hash_low,
                      uint32_t *from, struct error *error)
{
    int rc = 0;

    *from = 0;
    if (w->base.hash == NULL || w->base.page_count == 0 || hash_low == 0 || pgno == 1)
        return 0;
    if (w->moves == NULL)
        rc = page_moves_new(&w->moves, w->base.page_count, w->base.hash, w->base.arg, error);
    if (rc == 0)
        *from = page_moves_find(w->moves, hash_low);
    return rc;
}

/* Whether the pages that are like nothing they were have become so many that looking for their kin
 * is worth its cost. */
static int wants_kin(struct page_stream_writer *w)
{
    if (w->kin != NULL || w->base.fetch == NULL)
        return 0;
    w->strangers++;
    return w->strangers >= STRANGERS_MIN + w->base.page_count / 1024 &&
           w->strangers >= w->changed / STRANGERS_SHARE;
}

/* Write the number of an old page as its distance from *last, which becomes that number. */
static int put_distance(struct page_stream_writer *w, uint32_t pgno, uint32_t *last,
                        struct error *error)
{
    uint32_t distance = patch_zigzag((int32_t)(pgno - *last));

    *last = pgno;
    return page_block_put(&w->block, COLUMN_HEADS, distance, error);
}

static int put_joins(struct page_stream_writer *w, const struct patch_joins *joins,
                     struct error *error)
{
    int rc = 0;

    if (joins->count > 0)
        rc = page_block_put(&w->block, COLUMN_HEADS, joins->count, error);
    for (uint32_t i = 0; i < joins->count && rc == 0; i++)
        rc = put_distance(w, joins->pgno[i], &w->last_join, error);
    return rc;
}

static int put_head(struct page_stream_writer *w, uint32_t pgno, uint32_t record,
                    const struct patch_joins *joins, struct error *error)
{
    int rc = page_block_put(&w->block, COLUMN_HEADS, pgno - w->last_pgno, error);

    if (rc == 0)
        rc = page_block_put(&w->block, COLUMN_HEADS, record, error);
    if (rc == 0 && joins != NULL)
        rc = put_joins(w, joins, error);
    return rc;
}

/*
 * The page, with its cell pointers coded where that makes more of them alike than stand already in
 * the places that they had (in_place). RECORD_CODED is set in *record then.
 */
static const uint8_t *code_pointers(struct page_stream_writer *w, const uint8_t *page,
                                    uint32_t in_place, uint32_t *record)
{
    uint32_t packed = btree_page_packed_cells(&w->btree);

    if (packed <= in_place || packed <= w->btree.cell_count / 2u)
        return page;
    *record |= RECORD_CODED;
    memcpy(w->coded, page, w->page_size);
    btree_page_code_pointers(&w->btree, w->coded);
    return w->coded;
}

static int add_whole(struct page_stream_writer *w, uint32_t pgno, const uint8_t *page,
                     uint32_t record, const struct patch_joins *joins, struct error *error)
{
    int rc;

    page = code_pointers(w, page, 0, &record);
    rc = page_block_put_bytes(&w->block, COLUMN_PAGES, page, w->page_size, error);
    return rc == 0 ? put_head(w, pgno, record, joins, error) : rc;
}

/* Add the page as a patch, or whole where a patch would be hardly shorter. with_own: against its
 * old content, too. */
static int add_patch(struct page_stream_writer *w, uint32_t pgno, const uint8_t *page, int with_own,
                     uint32_t *found, struct error *error)
{
    uint32_t record = RECORD_PATCH, in_place = 0;
    size_t size = page_block_size(&w->block);
    struct page_block_mark mark;
    struct patch_joins joins;
    const uint8_t *coded;
    int rc = 0;

    if (w->encoder == NULL)
        rc = patch_encoder_new(&w->encoder, w->page_size, error);
    if (rc != 0)
        return rc;
    if (with_own) {
        record |= RECORD_OWN;
        patch_encoder_join(w->encoder, pgno, w->own, 0);
        in_place = patch_encoder_cells_in_place(w->encoder, &w->btree);
    }
    rc = patch_encoder_find(w->encoder, page, &w->btree, with_own, w->kin, fetch_old, w, &joins,
                            found, error);
    if (rc != 0)
        return rc;
    record |= joins.count > 0 ? RECORD_JOINS : 0;
    page_block_mark(&w->block, &mark);
    coded = code_pointers(w, page, in_place, &record);
    rc = patch_encoder_write(w->encoder, coded, &w->btree, (record & RECORD_CODED) != 0,
                             with_own ? joins.count : 0, &w->block, error);
    if (rc == 0 && page_block_size(&w->block) - size <= w->page_size / 4 * 3)
        return put_head(w, pgno, record, &joins, error);
    page_block_rewind(&w->block, &mark);
    record = RECORD_WHOLE | (record & (RECORD_OWN | RECORD_JOINS));
    return rc == 0 ? add_whole(w, pgno, page, record, &joins, error) : rc;
}

/* Fetch the page's own old content into w->own, unless it is not to be looked at. *alike: it is
 * known, and like the page. */
static int fetch_own(struct page_stream_writer *w, uint32_t pgno, const uint8_t *page, int *known,
                     int *alike, struct error *error)
{
    int rc;

    *known = *alike = 0;
    if (w->kin != NULL && w->row >= STRANGERS_ROW && pgno % SAMPLE_EVERY != 0)
        return 0;
    rc = fetch_old(w, pgno, w->own, known, error);
    *alike = rc == 0 && *known && is_alike(page, w->own, w->page_size);
    if (*known)
        w->row = *alike ? 0 : w->row + 1;
    return rc;
}

/* Put the record of one page into the block. */
static int add_record(struct page_stream_writer *w, uint32_t pgno, const uint8_t *page,
                      uint64_t hash_low, struct error *error)
{
    uint32_t moved_from = 0, found = 0;
    int known, alike, rc;

    if (is_zero(page, w->page_size))
        return put_head(w, pgno, RECORD_ZERO, NULL, error);
    rc = fetch_own(w, pgno, page, &known, &alike, error);
    if (rc == 0 && !alike)
        rc = find_moved(w, pgno, hash_low, &moved_from, error);
    if (rc == 0 && moved_from != 0) {
        rc = put_head(w, pgno, RECORD_MOVED, NULL, error);
        return rc == 0 ? put_distance(w, moved_from, &w->last_moved, error) : rc;
    }
    if (pgno != 1)
        btree_page_parse(&w->btree, page);
    if (rc == 0 && (known || w->kin != NULL))
        rc = add_patch(w, pgno, page, known && (alike || w->kin == NULL), &found, error);
    else if (rc == 0)
        rc = add_whole(w, pgno, page, RECORD_WHOLE, NULL, error);
    w->changed += known != 0;
    if (rc == 0 && known && !alike && found < w->page_size / 4 && wants_kin(w))
        rc = make_kin(w, error);
    return rc;
}

static int write_block(struct page_stream_writer *w, struct buffer *out, struct error *error)
{
    int rc;

    w->held_pages += w->block_pages;
    w->held_bytes += page_block_size(&w->block);
    w->block_pages = 0;
    rc = page_block_write(&w->block, w->compressor, out, error);
    if (rc == 0 && w->held_bytes < COMPRESS_PART && w->held_pages >= FLUSH_PAGES)
        rc = compressor_flush(w->compressor, out, error);
    else if (w->held_bytes < COMPRESS_PART)
        return rc;
    w->held_pages = 0;
    w->held_bytes = 0;
    return rc;
}

int page_stream_writer_add(struct page_stream_writer *writer, uint32_t pgno, const uint8_t *page,
                           uint64_t hash_low, struct buffer *out, struct error *error)
{
    struct page_stream_writer *w = writer;
    int rc;

    assert(pgno > w->last_pgno);
    rc = add_record(w, pgno, page, hash_low, error);
    if (rc != 0)
        return rc;
    w->last_pgno = pgno;
    w->count++;
    w->block_pages++;
    if (w->block_pages < BLOCK_PAGES && page_block_size(&w->block) < BLOCK_BYTES)
        return 0;
    return write_block(w, out, error);
}

int page_stream_writer_finish(struct page_stream_writer *writer, struct buffer *out,
                              struct error *error)
{
    uint8_t end = 0;
    int rc = page_block_write(&writer->block, writer->compressor, out, error);

    if (rc == 0)
        rc = compressor_write(writer->compressor, &end, 1, out, error);
    return rc == 0 ? compressor_finish(writer->compressor, out, error) : rc;
}

uint32_t page_stream_writer_count(const struct page_stream_writer *writer)
{
    return writer->count;
}
