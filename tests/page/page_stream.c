#include "protocol/page/page_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include <cmocka.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/page/compress.h"
#include "protocol/page/page_block.h"

#define PAGE 512u
#define OLD  40u /* pages that the receiver held before */

/* A page of bytes that compress a little and follow from the seed. */
static void fill(uint8_t *page, uint32_t size, uint32_t seed)
{
    uint32_t x = seed * 2654435761u + 1;

    for (uint32_t i = 0; i < size; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        page[i] = (uint8_t)(i % 3 == 0 ? x : 'a' + i % 16);
    }
}

static uint64_t old_hash(void *arg, uint32_t pgno)
{
    (void)arg;
    return 1000 + pgno;
}

static int old_fetch(void *arg, uint32_t pgno, uint8_t *page, struct error *error)
{
    (void)error;
    assert_true(pgno >= 1 && pgno <= OLD);
    fill(page, *(uint32_t *)arg, 1000 + pgno);
    return 0;
}

struct sent {
    uint32_t pgno;
    uint32_t seed; /* 0 for a page of zeros, 1001 … for an old page */
};

static const struct sent sent[] = {{1, 7},   {2, 8},      {3, 0},     {130, 1012},
                                   {131, 9}, {20000, 10}, {20001, 0}, {4294967294u, 1040}};

static struct buffer write_stream(int level, uint32_t page_size)
{
    struct page_stream_base base = {.page_count = OLD, .hash = old_hash};
    struct page_stream_writer *writer;
    struct buffer out;
    struct error error;
    uint8_t *page = calloc(1, page_size);

    buffer_init(&out, 1 << 20);
    assert_int_equal(page_stream_writer_new(&writer, page_size, level, &base, &error), 0);
    for (size_t i = 0; i < sizeof(sent) / sizeof(sent[0]); i++) {
        memset(page, 0, page_size);
        if (sent[i].seed != 0)
            fill(page, page_size, sent[i].seed);
        assert_int_equal(
            page_stream_writer_add(writer, sent[i].pgno, page, sent[i].seed, &out, &error), 0);
    }
    assert_int_equal(page_stream_writer_finish(writer, &out, &error), 0);
    assert_int_equal(page_stream_writer_count(writer), sizeof(sent) / sizeof(sent[0]));
    page_stream_writer_free(writer);
    free(page);
    return out;
}

/* Take what there is and compare it with what was sent, from number *next on. */
static int take_pages(struct page_stream_reader *reader, size_t *next, uint32_t page_size)
{
    uint8_t *expected = calloc(1, page_size);
    const uint8_t *page;
    struct error error;
    uint32_t pgno;
    int rc;

    while ((rc = page_stream_reader_next(reader, &pgno, &page, &error)) == 0 && pgno != 0) {
        assert_true(*next < sizeof(sent) / sizeof(sent[0]));
        assert_int_equal(pgno, sent[*next].pgno);
        memset(expected, 0, page_size);
        if (sent[*next].seed != 0)
            fill(expected, page_size, sent[*next].seed);
        assert_memory_equal(page, expected, page_size);
        (*next)++;
    }
    free(expected);
    return rc;
}

static struct page_stream_reader *reader_new(uint32_t *page_size)
{
    struct page_stream_reader *reader;
    struct error error;

    assert_int_equal(page_stream_reader_new(&reader, *page_size, OLD, old_fetch, page_size, &error),
                     0);
    return reader;
}

static void round_trip_at_every_split(void **state)
{
    static const int levels[] = {0, 1, 3, 19};
    uint32_t page_size = PAGE;

    (void)state;
    for (size_t l = 0; l < sizeof(levels) / sizeof(levels[0]); l++) {
        struct buffer out = write_stream(levels[l], PAGE);

        for (size_t split = 0; split <= out.len; split++) {
            struct page_stream_reader *reader = reader_new(&page_size);
            size_t next = 0;

            page_stream_reader_feed(reader, out.data, split);
            assert_int_equal(take_pages(reader, &next, PAGE), 0);
            assert_int_equal(page_stream_reader_ended(reader), split == out.len);
            page_stream_reader_feed(reader, out.data + split, out.len - split);
            assert_int_equal(take_pages(reader, &next, PAGE), 0);
            assert_int_equal(next, sizeof(sent) / sizeof(sent[0]));
            assert_true(page_stream_reader_ended(reader));
            page_stream_reader_free(reader);
        }
        buffer_release(&out);
    }
}

static void round_trip_byte_by_byte(void **state)
{
    static const uint32_t sizes[] = {512, 4096, 65536};

    (void)state;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        uint32_t page_size = sizes[s];
        struct buffer out = write_stream(3, page_size);
        struct page_stream_reader *reader = reader_new(&page_size);
        size_t next = 0;

        for (size_t i = 0; i < out.len; i++) {
            assert_false(page_stream_reader_ended(reader));
            page_stream_reader_feed(reader, out.data + i, 1);
            assert_int_equal(take_pages(reader, &next, page_size), 0);
        }
        assert_int_equal(next, sizeof(sent) / sizeof(sent[0]));
        assert_true(page_stream_reader_ended(reader));
        page_stream_reader_free(reader);
        buffer_release(&out);
    }
}

/* Read a whole stream of bytes; the code it ends with, and whether the reader says that it was
 * whole. */
static int read_all(const uint8_t *data, size_t len, int *ended, uint32_t *pages)
{
    uint32_t page_size = PAGE, pgno;
    struct page_stream_reader *reader = reader_new(&page_size);
    const uint8_t *page;
    struct error error;
    int rc;

    *pages = 0;
    page_stream_reader_feed(reader, data, len);
    while ((rc = page_stream_reader_next(reader, &pgno, &page, &error)) == 0 && pgno != 0)
        (*pages)++;
    *ended = page_stream_reader_ended(reader);
    page_stream_reader_free(reader);
    return rc;
}

static void empty_stream(void **state)
{
    (void)state;
    for (int level = 0; level <= 3; level++) {
        struct page_stream_writer *writer;
        struct buffer out;
        struct error error;
        uint32_t pages;
        int ended;

        buffer_init(&out, 10000);
        assert_int_equal(page_stream_writer_new(&writer, PAGE, level, NULL, &error), 0);
        assert_int_equal(page_stream_writer_finish(writer, &out, &error), 0);
        page_stream_writer_free(writer);
        assert_true(out.len < 20);
        assert_int_equal(read_all(out.data, out.len, &ended, &pages), 0);
        assert_true(ended);
        assert_int_equal(pages, 0);
        buffer_release(&out);
    }
}

static void truncated_is_never_whole(void **state)
{
    (void)state;
    for (int level = 0; level <= 1; level++) {
        struct buffer out = write_stream(level, PAGE);
        uint32_t pages;
        int ended;

        for (size_t len = 0; len < out.len; len++) {
            assert_int_equal(read_all(out.data, len, &ended, &pages), 0);
            assert_false(ended);
        }
        buffer_release(&out);
    }
}

static void bytes_behind_the_end(void **state)
{
    (void)state;
    for (int level = 0; level <= 1; level++) {
        struct buffer out = write_stream(level, PAGE);
        struct error error;
        uint32_t pages;
        int ended;

        assert_int_equal(buffer_append(&out, "\0", 1, &error), 0);
        assert_int_equal(read_all(out.data, out.len, &ended, &pages), ERR_PROTOCOL);
        buffer_release(&out);
    }
}

/* Blocks without compression that are wrong. A column is given as its bytes; columns that are not
 * given are empty. */
#define BYTES(text)                                                                                \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

struct row {
    const char *what;
    struct {
        const char *bytes;
        size_t len;
    } columns[COLUMN_COUNT];
    int good; /* whether it is to be accepted */
};

static void write_row(const struct row *row, struct buffer *out)
{
    struct compressor *compressor;
    struct page_block block;
    struct error error;

    page_block_init(&block);
    for (int c = 0; c < COLUMN_COUNT; c++) {
        int rc = page_block_put_bytes(&block, (enum page_column)c, row->columns[c].bytes,
                                      row->columns[c].len, &error);
        assert_int_equal(rc, 0);
    }
    assert_int_equal(compressor_new(&compressor, 0, &error), 0);
    assert_int_equal(page_block_write(&block, compressor, out, &error), 0);
    assert_int_equal(compressor_write(compressor, "\0", 1, out, &error), 0);
    assert_int_equal(compressor_finish(compressor, out, &error), 0);
    compressor_free(compressor);
    page_block_release(&block);
}

static void wrong_records(void **state)
{
    static const struct row rows[] = {
        {"a page of zeros", {BYTES("\x01\x01")}, 1},
        {"kind 32", {BYTES("\x01\x20")}, 0},
        {"no kind", {BYTES("\x01")}, 0},
        {"distance 0", {BYTES("\x00\x01")}, 0},
        {"distance of 36 bits", {BYTES("\xff\xff\xff\xff\xff\x01\x01")}, 0},
        {"distance of 33 bits", {BYTES("\xff\xff\xff\xff\x1f\x01")}, 0},
        {"page 4294967294", {BYTES("\xfe\xff\xff\xff\x0f\x01")}, 1},
        {"page 4294967295", {BYTES("\xff\xff\xff\xff\x0f\x01")}, 0},
        {"page number wraps", {BYTES("\xfe\xff\xff\xff\x0f\x01\x05\x01")}, 0},
        {"moved from page 40", {BYTES("\x01\x02\x50")}, 1},
        {"moved from page 0", {BYTES("\x01\x02\x00")}, 0},
        {"moved from page 41", {BYTES("\x01\x02\x52")}, 0},
        {"a whole page that is not there", {BYTES("\x01\x00")}, 0},
        {"coded pointers of zeros", {BYTES("\x01\x05")}, 0},
        {"own page beyond the old ones",
         {BYTES("\x29\x0b"), BYTES("\0"), BYTES("\x80\x04"), BYTES("\0")},
         0},
        {"own page", {BYTES("\x28\x0b"), BYTES("\0"), BYTES("\x80\x04"), BYTES("\0")}, 1},
        {"own page from offset 1",
         {BYTES("\x28\x0b"), BYTES("\0"), BYTES("\x80\x04"), BYTES("\x04")},
         0},
        {"own page from offset -1",
         {BYTES("\x28\x0b"), BYTES("\0"), BYTES("\x80\x04"), BYTES("\x02")},
         0},
        {"a shift of 31 bits",
         {BYTES("\x28\x0b"), BYTES("\0"), BYTES("\x01"), BYTES("\xfe\xff\xff\xff\x0f")},
         0},
        {"joined page 40",
         {BYTES("\x01\x13\x01\x50"), BYTES("\0"), BYTES("\x80\x04"), BYTES("\0")},
         1},
        {"joined page 0",
         {BYTES("\x01\x13\x01\x00"), BYTES("\0"), BYTES("\x80\x04"), BYTES("\0")},
         0},
        {"joined page 41",
         {BYTES("\x01\x13\x01\x52"), BYTES("\0"), BYTES("\x80\x04"), BYTES("\0")},
         0},
        {"joined page -1",
         {BYTES("\x01\x13\x01\x01"), BYTES("\0"), BYTES("\x80\x04"), BYTES("\0")},
         0},
        {"no joined page", {BYTES("\x01\x13\x00"), BYTES("\0"), BYTES("\x80\x04"), BYTES("\0")}, 0},
        {"nine joined pages", {BYTES("\x01\x11\x09\x02\x02\x02\x02\x02\x02\x02\x02\x02")}, 0},
        {"a column too full", {BYTES("\x01\x01"), BYTES("\0")}, 0},
        {"literals that are not there",
         {BYTES("\x01\x03"), BYTES("\x05"), BYTES(""), BYTES(""), BYTES(""), BYTES("abcd")},
         0},
        {"literals beyond the page", {BYTES("\x01\x03"), BYTES("\x81\x04")}, 0},
        {"a copy of nothing", {BYTES("\x01\x03"), BYTES("\0"), BYTES("\0"), BYTES("\0")}, 0},
        {"a copy beyond the page",
         {BYTES("\x01\x03"), BYTES("\0"), BYTES("\x81\x04"), BYTES("\x01")},
         0},
        {"a copy from slot 31",
         {BYTES("\x01\x03"), BYTES("\0"), BYTES("\x80\x04"), BYTES("\x41"), BYTES("\0")},
         1},
        {"a copy from slot 32",
         {BYTES("\x01\x03"), BYTES("\0"), BYTES("\x80\x04"), BYTES("\x43"), BYTES("\0")},
         0},
        {"a copy from offset 1 of a slot",
         {BYTES("\x01\x03"), BYTES("\0"), BYTES("\x80\x04"), BYTES("\x03"), BYTES("\1")},
         0},
        {"a copy from offset 4294967295",
         {BYTES("\x01\x03"), BYTES("\0"), BYTES("\x80\x04"), BYTES("\x03"),
          BYTES("\xff\xff\xff\xff\x0f")},
         0},
        {"zeros", {BYTES("\x01\x03"), BYTES("\0"), BYTES("\x80\x04"), BYTES("\x01")}, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buffer out;
        uint32_t pages;
        int ended, rc;

        buffer_init(&out, 1 << 20);
        write_row(&rows[i], &out);
        rc = read_all(out.data, out.len, &ended, &pages);
        if (rc != (rows[i].good ? 0 : ERR_PROTOCOL) || (rows[i].good && !ended))
            fail_msg("%s: %d", rows[i].what, rc);
        buffer_release(&out);
    }
}

/* Streams without compression that are wrong before a block is whole, or behind the last one. */
static void wrong_blocks(void **state)
{
    static const struct {
        const char *what;
        struct {
            const char *bytes;
            size_t len;
        } stream;
    } rows[] = {
        {"mode 2", BYTES("\x02\x00")},
        {"mode 255", BYTES("\xff\x00")},
        {"a block of 1 MiB and 1 byte", BYTES("\x00\x80\x80\x40\x01")},
        {"a block of 34 GB", BYTES("\x00\xff\xff\xff\xff\x7f")},
        {"a length that does not end", BYTES("\x00\x80\x80\x80\x80\x80\x80")},
        {"goes on behind its end", BYTES("\x00\x02\0\0\0\0\0\0\x01\x01\x00\x01")},
        {"starts again behind its end",
         BYTES("\x00\x02\0\0\0\0\0\0\x01\x01\x00\x02\0\0\0\0\0\0\x01\x01\0")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t pages;
        int ended;

        if (read_all((const uint8_t *)rows[i].stream.bytes, rows[i].stream.len, &ended, &pages) !=
            ERR_PROTOCOL)
            fail_msg("%s was not refused", rows[i].what);
    }
}

/* zstd frames that decompress, but to what is no stream of pages, or too large a window. */
static void wrong_frames(void **state)
{
    static const struct {
        const char *what;
        const char *content;
        size_t len;
        int window_log;
    } rows[] = {
        {"ends without its end", "\x02\0\0\0\0\0\0\x01\x01", 9, 10},
        {"ends within a block", "\x02\0\0\0\0\0\0\x01", 8, 10},
        {"ends within a length", "\x82", 1, 10},
        {"goes on behind its end", "\x02\0\0\0\0\0\0\x01\x01\x00\x01", 11, 10},
        {"empty", "", 0, 10},
        {"window of 16 MiB", "\0", 1, LIMIT_ZSTD_WINDOW_LOG + 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t bytes[200] = {1};
        ZSTD_CCtx *zstd = ZSTD_createCCtx();
        ZSTD_inBuffer input = {rows[i].content, rows[i].len, 0};
        ZSTD_outBuffer output = {bytes + 1, sizeof(bytes) - 2, 0};
        uint32_t pages;
        int ended, rc;

        ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, rows[i].window_log);
        ZSTD_compressStream2(zstd, &output, &input, ZSTD_e_continue);
        assert_int_equal(ZSTD_compressStream2(zstd, &output, &input, ZSTD_e_end), 0);
        ZSTD_freeCCtx(zstd);
        rc = read_all(bytes, output.pos + 1, &ended, &pages);
        if (rc != ERR_PROTOCOL)
            fail_msg("%s was not refused: %d", rows[i].what, rc);
    }
}

/* Damage anywhere ends in an error, in other pages, or in an unfinished stream; never in a crash.
 */
static void flipped_bits(void **state)
{
    struct buffer out = write_stream(1, PAGE);
    uint32_t pages;
    int ended;

    (void)state;
    for (size_t bit = 0; bit < out.len * 8; bit++) {
        int rc;

        out.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        rc = read_all(out.data, out.len, &ended, &pages);
        assert_true(rc == 0 || rc == ERR_PROTOCOL);
        out.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip_at_every_split),
        cmocka_unit_test(round_trip_byte_by_byte),
        cmocka_unit_test(empty_stream),
        cmocka_unit_test(truncated_is_never_whole),
        cmocka_unit_test(bytes_behind_the_end),
        cmocka_unit_test(wrong_records),
        cmocka_unit_test(wrong_blocks),
        cmocka_unit_test(wrong_frames),
        cmocka_unit_test(flipped_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
