/* Bytes held to a rate, by a clock that is given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/base/pace.h"

static void test_no_limit(void **state)
{
    struct pace pace = {0};

    (void)state;
    pace_spend(&pace, UINT64_MAX, 5);
    assert_true(pace_wait_ms(&pace, 5) == 0);
}

/* Whatever the sizes, the mean is the rate. */
static void test_mean(void **state)
{
    struct pace pace = {0};
    uint64_t now = 1000000, sent = 0;

    (void)state;
    pace_set(&pace, 100000);
    for (int i = 0; i < 1000; i++) {
        uint64_t bytes = (uint64_t)(i * 37 % 5000 + 1);
        now += pace_wait_ms(&pace, now);
        pace_spend(&pace, bytes, now);
        sent += bytes;
    }
    now += pace_wait_ms(&pace, now);
    /* In milliseconds: each wait is rounded up by less than one. */
    assert_true(now - 1000000 >= sent / 100);
    assert_true(now - 1000000 <= sent / 100 + 1000);
}

static void test_pause_is_lost(void **state)
{
    struct pace pace = {0};

    (void)state;
    pace_set(&pace, 1000);
    pace_spend(&pace, 500, 10000);
    assert_true(pace_wait_ms(&pace, 10000) == 500);
    assert_true(pace_wait_ms(&pace, 10499) == 1);
    assert_true(pace_wait_ms(&pace, 10500) == 0);
    /* A minute of silence allows nothing more than what is sent after it. */
    pace_spend(&pace, 500, 70000);
    assert_true(pace_wait_ms(&pace, 70000) == 500);
    /* Two pieces wait for both. */
    pace_spend(&pace, 250, 70000);
    assert_true(pace_wait_ms(&pace, 70000) == 750);
}

static void test_another_rate(void **state)
{
    struct pace pace = {0};

    (void)state;
    pace_set(&pace, 1000);
    pace_spend(&pace, 100000, 10000);
    pace_set(&pace, 1000);
    assert_true(pace_wait_ms(&pace, 10000) == 100000);
    pace_set(&pace, 2000);
    assert_true(pace_wait_ms(&pace, 10000) == 0);
    pace_set(&pace, 0);
    pace_spend(&pace, 100000, 10000);
    assert_true(pace_wait_ms(&pace, 10000) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_mean),
        cmocka_unit_test(test_pause_is_lost),
        cmocka_unit_test(test_another_rate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
