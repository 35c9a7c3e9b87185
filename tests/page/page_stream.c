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

/* Streams without compression that are wrong, byte by byte. 'R' stands for a page of PAGE bytes. */
static void wrong_records(void **state)
{
    static const struct {
        const char *what;
        const char *bytes;
        size_t len;
    } rows[] = {
        {"mode 2", "\x02\x00", 2},
        {"mode 255", "\xff\x00", 2},
        {"kind 77", "\x00\x01\x4d\x00", 4},
        {"distance of 36 bits", "\x00\xff\xff\xff\xff\xff\x01\x01\x00", 9},
        {"distance of 33 bits", "\x00\xff\xff\xff\xff\x1f\x01\x00", 8},
        {"page 4294967295", "\x00\xff\xff\xff\xff\x0f\x01\x00", 8},
        {"page number wraps", "\x00\xfe\xff\xff\xff\x0f\x01\x05\x01\x00", 10},
        {"moved from page 0", "\x00\x01\x02\x00\x00", 5},
        {"moved from behind the end", "\x00\x01\x02\x29\x00", 5},
        {"goes on behind its end", "\x00\x01\x01\x00\x01", 5},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t pages;
        int ended;

        if (read_all((const uint8_t *)rows[i].bytes, rows[i].len, &ended, &pages) != ERR_PROTOCOL)
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
        {"ends without distance 0", "\x01\x01", 2, 10},
        {"ends within a page", "\x01\x00xyz", 5, 10},
        {"goes on behind its end", "\x01\x01\x00\x01", 4, 10},
        {"empty", "", 0, 10},
        {"window of 16 MiB", "\x01\x01\x00", 3, LIMIT_ZSTD_WINDOW_LOG + 1},
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
        cmocka_unit_test(wrong_frames),
        cmocka_unit_test(flipped_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
