/* The delay line: bytes come out when a link of its rate and delay would have delivered them, all,
 * and in order. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/delay_line.h"

#define MS      UINT64_C(1000000)
#define SECOND  UINT64_C(1000000000)
#define SEGMENT 1448

/* len bytes that count on from *next. */
static uint8_t *counted(size_t len, uint8_t *next)
{
    uint8_t *data = malloc(len);

    assert_non_null(data);
    for (size_t i = 0; i < len; i++)
        data[i] = (*next)++;
    return data;
}

static void put(struct delay_line *line, uint64_t now, size_t len)
{
    uint8_t next = 0;

    assert_int_equal(delay_line_put_take(line, now, counted(len, &next), len, 1), 0);
}

/* Take what has arrived by now out: its length. */
static size_t take(struct delay_line *line, uint64_t now)
{
    struct delay_arrival arrival;

    if (!delay_line_arrived(line, now, &arrival))
        return 0;
    delay_line_consume(line, arrival.len);
    return arrival.len;
}

static void test_without_delay_and_rate(void **state)
{
    struct delay_line line;

    (void)state;
    delay_line_init(&line, 0, 0);
    put(&line, 5, 100000);
    assert_int_equal(delay_line_next(&line), 5);
    assert_int_equal(take(&line, 5), 100000);
    assert_true(delay_line_next(&line) == UINT64_MAX);
    delay_line_release(&line);
}

static void test_half_of_the_round_trip(void **state)
{
    struct delay_line line;

    (void)state;
    delay_line_init(&line, 120 * MS, 0);
    put(&line, 1000, 10);
    assert_int_equal(delay_line_next(&line), 60 * MS + 1000);
    assert_int_equal(take(&line, 60 * MS + 999), 0);
    assert_int_equal(take(&line, 60 * MS + 1000), 10);
    delay_line_release(&line);
}

/* At 1448 bytes a millisecond, ten segments leave in ten milliseconds, and arrive one by one. */
static void test_rate(void **state)
{
    struct delay_line line;

    (void)state;
    delay_line_init(&line, 2 * MS, SEGMENT * 1000);
    put(&line, 0, 10 * SEGMENT);
    assert_int_equal(delay_line_next(&line), 2 * MS);
    assert_int_equal(take(&line, 2 * MS - 1), 0);
    assert_int_equal(take(&line, 2 * MS), SEGMENT);
    assert_int_equal(take(&line, 2 * MS), 0);
    assert_int_equal(delay_line_next(&line), 3 * MS);
    assert_int_equal(take(&line, 6 * MS), 4 * SEGMENT);
    assert_int_equal(take(&line, 11 * MS - 1), 4 * SEGMENT);
    assert_int_equal(take(&line, 11 * MS), SEGMENT);
    delay_line_release(&line);
}

/* What is sent while earlier bytes still leave waits for them; after a pause nothing was saved up.
 */
static void test_one_after_the_other(void **state)
{
    struct delay_line line;

    (void)state;
    delay_line_init(&line, 0, SEGMENT * 1000);
    put(&line, 0, SEGMENT);
    put(&line, 0, SEGMENT);
    assert_int_equal(take(&line, 1 * MS), SEGMENT);
    assert_int_equal(take(&line, 2 * MS - 1), 0);
    assert_int_equal(take(&line, 2 * MS), SEGMENT);
    put(&line, 50 * MS, 2 * SEGMENT);
    assert_int_equal(delay_line_next(&line), 51 * MS);
    assert_int_equal(take(&line, 51 * MS), SEGMENT);
    assert_int_equal(take(&line, 52 * MS), SEGMENT);
    delay_line_release(&line);
}

static void test_full(void **state)
{
    struct delay_line line;
    size_t under_way = 1000000 / 10; /* a tenth of a second at 1 MB/s */

    (void)state;
    delay_line_init(&line, 100 * MS, 1000000);
    put(&line, 0, under_way + 1000);
    assert_false(delay_line_full(&line));
    put(&line, 0, 200000);
    assert_true(delay_line_full(&line));
    assert_true(take(&line, SECOND) > 0);
    assert_false(delay_line_full(&line));
    delay_line_release(&line);
}

static void test_end_of_stream_comes_last(void **state)
{
    struct delay_line line;
    struct delay_arrival arrival;

    (void)state;
    delay_line_init(&line, 2 * MS, 0);
    put(&line, 0, 10);
    assert_int_equal(delay_line_put_take(&line, 0, NULL, 0, 7), 0);
    assert_int_equal(take(&line, 1 * MS), 10);
    assert_int_equal(delay_line_next(&line), 1 * MS);
    assert_true(delay_line_arrived(&line, 1 * MS, &arrival));
    assert_null(arrival.data);
    assert_int_equal(arrival.len, 0);
    assert_int_equal(arrival.legs, 7);
    delay_line_consume(&line, 0);
    assert_true(delay_line_next(&line) == UINT64_MAX);
    delay_line_release(&line);
}

/* Whatever is put in at whatever times: all of it comes out in order, never faster than the link
 * is. */
static void test_any_traffic(void **state)
{
    struct delay_line line;
    uint64_t rate = 1250000, delay = 20 * MS, now = 0;
    uint64_t in = 0, out = 0;
    uint8_t next_in = 0, next_out = 0;
    unsigned random = 1;

    (void)state;
    delay_line_init(&line, 2 * delay, rate);
    for (int round = 0; round < 5000; round++) {
        struct delay_arrival arrival;

        random = random * 1103515245u + 12345u;
        if (round < 4000 && !delay_line_full(&line)) {
            size_t len = 1 + (random >> 8) % 20000;

            assert_int_equal(delay_line_put_take(&line, now, counted(len, &next_in), len, 1), 0);
            in += len;
        }
        now += (random >> 4) % (10 * MS);
        while (delay_line_arrived(&line, now, &arrival)) {
            assert_true(arrival.len > 0);
            for (size_t i = 0; i < arrival.len; i++)
                assert_int_equal(arrival.data[i], next_out++);
            delay_line_consume(&line, arrival.len);
            out += arrival.len;
        }
        assert_int_equal(line.held, in - out);
        assert_true(out == 0 || (double)out <= (double)rate * (double)(now - delay) / 1e9 + 1);
        if (line.held > 0)
            assert_true(delay_line_next(&line) > now);
    }
    assert_int_equal(in, out);
    delay_line_release(&line);
}

/* What a line still holds is freed with it; the sanitizer tells if it is not. */
static void test_release_frees(void **state)
{
    struct delay_line line;

    (void)state;
    delay_line_init(&line, 2 * MS, 1000);
    put(&line, 0, 3000);
    assert_int_equal(take(&line, 2 * SECOND), SEGMENT);
    assert_int_equal(delay_line_put_take(&line, 0, NULL, 0, 1), 0);
    delay_line_release(&line);
    assert_int_equal(line.held, 0);
    assert_true(delay_line_next(&line) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_delay_and_rate),
        cmocka_unit_test(test_half_of_the_round_trip),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_one_after_the_other),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_end_of_stream_comes_last),
        cmocka_unit_test(test_any_traffic),
        cmocka_unit_test(test_release_frees),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
