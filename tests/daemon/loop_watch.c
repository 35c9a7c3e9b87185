/* loop_watch: what a loop's turns took. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <uv.h>

#include "origin/loop_watch.h"

static uint64_t busy_ms; /* what the timer's callback does */

static void be_busy(uv_timer_t *timer)
{
    uint64_t end = uv_hrtime() + busy_ms * 1000000;

    (void)timer;
    while (uv_hrtime() < end)
        ;
}

/* Run a loop that sleeps before each of two turns, in which it is busy for ms. */
static void run(uint64_t ms, struct loop_watch_stats *stats)
{
    struct loop_watch *watch;
    uv_timer_t timer;
    uv_loop_t loop;

    busy_ms = ms;
    assert_int_equal(uv_loop_init(&loop), 0);
    watch = loop_watch_new(&loop);
    assert_non_null(watch);
    uv_timer_init(&loop, &timer);
    for (int i = 0; i < 2; i++) {
        uv_timer_start(&timer, be_busy, 60, 0);
        uv_run(&loop, UV_RUN_DEFAULT);
    }
    /* One more turn, so that the last one has an end. */
    uv_timer_start(&timer, be_busy, 0, 0);
    busy_ms = 0;
    uv_run(&loop, UV_RUN_DEFAULT);
    loop_watch_read(watch, stats);
    loop_watch_close(watch);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_busy(void **state)
{
    struct loop_watch_stats stats;

    (void)state;
    run(25, &stats);
    assert_true(stats.turns >= 2);
    assert_true(stats.longest_ns >= 25000000);
    assert_true(stats.busy_ns >= 50000000);
    assert_true(stats.long_turns >= 2);
}

/* Sleep is not work: by the processor's time that holds however loaded the machine is. */
static void test_asleep(void **state)
{
    struct loop_watch_stats stats;

    (void)state;
    run(0, &stats);
    assert_true(stats.turns >= 2);
    assert_int_equal(stats.long_cpu_turns, 0);
    assert_true(stats.longest_cpu_ns < LOOP_WATCH_LONG_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_busy), cmocka_unit_test(test_asleep)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
