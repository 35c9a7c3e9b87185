/* Frames: cut out of a stream wherever its bytes happen to be split, and refused as soon as a
 * header is wrong. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/wire/frame.h"

/* Three frames: of one byte, of five, of two. */
static const uint8_t stream[] = {0,   0,   0,   1,   'a', 0, 0, 0, 5,   'b',
                                 'c', 'd', 'e', 'f', 0,   0, 0, 2, 'g', 'h'};
static const char *const payloads[] = {"a", "bcdef", "gh"};

/* Take every frame that is there; *index is that of the next one. */
static void take_all(struct frame_reader *reader, size_t *index)
{
    const uint8_t *payload;
    size_t len;

    for (;;) {
        assert_int_equal(frame_reader_next(reader, &payload, &len, NULL), 0);
        if (payload == NULL)
            break;
        assert_true(*index < 3);
        assert_int_equal(len, strlen(payloads[*index]));
        assert_memory_equal(payload, payloads[*index], len);
        ++*index;
    }
    assert_int_equal(len, 0);
}

static void feed(struct frame_reader *reader, const void *data, size_t len)
{
    assert_int_equal(frame_reader_feed(reader, data, len, NULL), 0);
}

static void test_every_pair_of_splits(void **state)
{
    (void)state;
    for (size_t first = 0; first <= sizeof(stream); first++) {
        for (size_t second = first; second <= sizeof(stream); second++) {
            struct frame_reader reader;
            size_t index = 0;

            frame_reader_init(&reader);
            feed(&reader, stream, first);
            take_all(&reader, &index);
            feed(&reader, stream + first, second - first);
            take_all(&reader, &index);
            feed(&reader, stream + second, sizeof(stream) - second);
            take_all(&reader, &index);
            assert_int_equal(index, 3);
            assert_int_equal(frame_reader_pending(&reader), 0);
            frame_reader_release(&reader);
        }
    }
}

static void test_byte_by_byte(void **state)
{
    struct frame_reader reader;
    size_t index = 0;

    (void)state;
    frame_reader_init(&reader);
    for (size_t i = 0; i < sizeof(stream); i++) {
        feed(&reader, &stream[i], 1);
        take_all(&reader, &index);
    }
    assert_int_equal(index, 3);
    frame_reader_release(&reader);
}

/* The stream may end at any byte: only between frames does nothing wait. */
static void test_pending_tells_a_cut_stream(void **state)
{
    (void)state;
    for (size_t end = 0; end <= sizeof(stream); end++) {
        int whole = end == 0 || end == 5 || end == 14 || end == sizeof(stream);
        struct frame_reader reader;
        size_t index = 0;

        frame_reader_init(&reader);
        feed(&reader, stream, end);
        take_all(&reader, &index);
        assert_int_equal(frame_reader_pending(&reader) == 0, whole);
        frame_reader_release(&reader);
    }
}

/* Refused by its header alone, and for good. */
static void test_length_caps(void **state)
{
    static const uint8_t headers[][FRAME_HEADER_SIZE] = {
        {0, 0, 0, 0},         {0, 4, 0, 1}, {0, 5, 0, 0}, {1, 0, 0, 1}, {0xff, 0xff, 0xff, 0xff},
        {'S', 'S', 'H', '-'},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        struct error error = {0};
        struct frame_reader reader;
        const uint8_t *payload;
        size_t len;

        frame_reader_init(&reader);
        feed(&reader, headers[i], 3);
        assert_int_equal(frame_reader_next(&reader, &payload, &len, NULL), 0);
        assert_null(payload);
        feed(&reader, headers[i] + 3, 1);
        assert_int_equal(frame_reader_next(&reader, &payload, &len, &error), ERR_PROTOCOL);
        assert_null(payload);
        assert_int_equal(error.code, ERR_PROTOCOL);
        feed(&reader, stream, sizeof(stream));
        assert_int_equal(frame_reader_next(&reader, &payload, &len, NULL), ERR_PROTOCOL);
        assert_null(payload);
        assert_true(reader.pending.cap <= 256);
        frame_reader_release(&reader);
    }
}

static void test_largest_frame(void **state)
{
    uint8_t *payload = calloc(1, LIMIT_FRAME);
    uint8_t header[FRAME_HEADER_SIZE];
    struct frame_reader reader;
    const uint8_t *got;
    size_t len;

    (void)state;
    assert_non_null(payload);
    payload[LIMIT_FRAME - 1] = 7;
    frame_write_header(header, LIMIT_FRAME);
    frame_reader_init(&reader);
    feed(&reader, header, sizeof(header));
    feed(&reader, payload, LIMIT_FRAME - 1);
    assert_int_equal(frame_reader_next(&reader, &got, &len, NULL), 0);
    assert_null(got);
    feed(&reader, payload + LIMIT_FRAME - 1, 1);
    assert_int_equal(frame_reader_next(&reader, &got, &len, NULL), 0);
    assert_non_null(got);
    assert_int_equal(len, LIMIT_FRAME);
    assert_memory_equal(got, payload, LIMIT_FRAME);
    frame_reader_release(&reader);
    free(payload);
}

/* Who feeds without taking is stopped, and what was taken makes room. */
static void test_read_ahead_is_bounded(void **state)
{
    enum { PIECE = 65536 };
    uint8_t *piece = calloc(1, PIECE);
    struct frame_reader reader;
    const uint8_t *payload;
    size_t fed = 0;
    size_t len;

    (void)state;
    assert_non_null(piece);
    frame_write_header(piece, PIECE - FRAME_HEADER_SIZE);
    frame_reader_init(&reader);
    while (fed < 100 && frame_reader_feed(&reader, piece, PIECE, NULL) == 0)
        fed++;
    assert_int_equal(fed, (FRAME_HEADER_SIZE + LIMIT_FRAME + LIMIT_READ_AHEAD) / PIECE);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(frame_reader_next(&reader, &payload, &len, NULL), 0);
        assert_int_equal(len, PIECE - FRAME_HEADER_SIZE);
        feed(&reader, piece, PIECE);
    }
    frame_reader_release(&reader);
    free(piece);
}

static void test_header(void **state)
{
    uint8_t header[FRAME_HEADER_SIZE];

    (void)state;
    frame_write_header(header, 0x30201);
    assert_memory_equal(header, "\x00\x03\x02\x01", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair_of_splits),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_pending_tells_a_cut_stream),
        cmocka_unit_test(test_length_caps),
        cmocka_unit_test(test_largest_frame),
        cmocka_unit_test(test_read_ahead_is_bounded),
        cmocka_unit_test(test_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
