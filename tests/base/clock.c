/* The two clocks, and stamps that people read. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/clock.h"
#include "protocol/base/random.h"

static void test_format(void **state)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00Z"},
        {1, "1970-01-01T00:00:01Z"},
        {-1, "1969-12-31T23:59:59Z"},
        {951782400, "2000-02-29T00:00:00Z"},
        {1795291446, "2026-11-21T20:04:06Z"},
        {4107542400, "2100-03-01T00:00:00Z"},
        {INT64_MAX, ""},
        {INT64_MIN, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[21];

        clock_format_utc(rows[i].seconds, text, sizeof(text));
        assert_string_equal(text, rows[i].text);
    }
}

static void test_format_without_room(void **state)
{
    char text[21] = "x";

    (void)state;
    clock_format_utc(0, text, 0);
    assert_string_equal(text, "x");
    clock_format_utc(0, text, 20);
    assert_string_equal(text, "");
}

static void test_monotonic(void **state)
{
    uint64_t last = clock_monotonic_ms();

    (void)state;
    assert_true(last > 0);
    for (int i = 0; i < 10000; i++) {
        uint64_t now = clock_monotonic_ms();

        assert_true(now >= last);
        last = now;
    }
    assert_true(clock_wall_seconds() >
                1700000000); /* November 2023: it is the wall clock, in seconds */
    assert_true(clock_wall_seconds() < INT64_C(100000000000));
}

/* Bytes and numbers from the kernel: below the bound, each value comes, no two keys alike. */
static void test_random(void **state)
{
    uint8_t keys[2][16] = {{0}};
    unsigned seen = 0;

    (void)state;
    random_bytes(keys[0], 16);
    random_bytes(keys[1], 16);
    assert_memory_not_equal(keys[0], keys[1], 16);
    for (int i = 0; i < 1000; i++) {
        uint64_t value = random_below(5);

        assert_true(value < 5);
        seen |= 1u << value;
        assert_int_equal(random_below(1), 0);
    }
    assert_int_equal(seen, 31);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_format_without_room),
        cmocka_unit_test(test_monotonic),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
