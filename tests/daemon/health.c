/* Health is progress: a loop that stands still, work that does not end and what was found wrong are told, each by its reason. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "origin/health.h"
#include "protocol/base/buffer.h"
#include "protocol/base/clock.h"
#include "protocol/base/limits.h"

#define STUCK_MS 60000

static struct buffer out;

static const char *told(struct health *health, uint64_t now, int expected)
{
    buffer_release(&out);
    buffer_init(&out, LIMIT_HEALTH_ANSWER + 1000);
    assert_int_equal(health_is_good(health, now, &out), expected);
    assert_int_equal(buffer_append(&out, "", 1, NULL), 0);
    return (const char *)out.data;
}

static void assert_problems(struct health *health, uint64_t now, const char *problems)
{
    const char *text = told(health, now, problems[0] == '\0');
    char end[1000];

    snprintf(end, sizeof(end), "\"problems\":[%s]}\n", problems);
    if (strlen(text) < strlen(end) || strcmp(text + strlen(text) - strlen(end), end) != 0)
        fail_msg("not %s in %s", end, text);
    assert_non_null(strstr(text, problems[0] == '\0' ? "{\"status\":\"ok\"," : "{\"status\":\"unhealthy\","));
}

static void test_start(void **state)
{
    struct health *health = health_new(STUCK_MS);

    (void)state;
    assert_problems(health, clock_monotonic_ms(), "\"it is starting\"");
    health_beat(health);
    assert_problems(health, clock_monotonic_ms(), "");
    health_free(health);
}

static void test_loop(void **state)
{
    struct health *health = health_new(STUCK_MS);
    uint64_t now;

    (void)state;
    health_beat(health);
    now = clock_monotonic_ms();
    assert_problems(health, now + 9000, "");
    assert_true(health_makes_progress(health, now + 9000));
    assert_problems(health, now + 12000, "\"the event loop has not turned for 12 s\"");
    assert_false(health_makes_progress(health, now + 12000));
    health_free(health);
}

static void test_work(void **state)
{
    struct health *health = health_new(STUCK_MS);
    struct health_work works[3] = {{0}};
    uint64_t now;

    (void)state;
    for (int i = 0; i < 3; i++)
        health_begin(health, &works[i], i == 1 ? "a \"b\".db for worker (iad/1)" : "x");
    health_end(health, &works[0]);
    health_end(health, &works[2]);
    health_beat(health);
    now = clock_monotonic_ms();
    assert_non_null(strstr(told(health, now, 1), "\"workers_busy\":1,"));
    works[1].since = now - STUCK_MS;
    assert_problems(health, now, "");
    works[1].since = now - STUCK_MS - 1500;
    assert_problems(health, now, "\"a worker has been at it for 61 s: a \\\"b\\\".db for worker (iad/1)\"");
    assert_false(health_makes_progress(health, now));
    health_end(health, &works[1]);
    assert_problems(health, now, "");
    assert_true(health_makes_progress(health, now));
    health_begin(NULL, &works[0], "nobody looks");
    health_end(NULL, &works[0]);
    health_free(health);
}

/* A restart would not mend these: the watchdog goes on. */
static void test_problems(void **state)
{
    struct health *health = health_new(STUCK_MS);
    uint64_t now;

    (void)state;
    health_beat(health);
    now = clock_monotonic_ms();
    health_set_problem(health, HEALTH_DATABASES, "/x/a.db: gone");
    health_set_problem(health, HEALTH_STOPPING, "it is being stopped");
    assert_problems(health, now, "\"it is being stopped\",\"/x/a.db: gone\"");
    assert_true(health_makes_progress(health, now));
    assert_false(health_is_good(health, now, NULL));
    health_set_problem(health, HEALTH_DATABASES, NULL);
    health_set_problem(health, HEALTH_STOPPING, "");
    assert_problems(health, now, "");
    health_free(health);
}

/* As many as there can be, with the longest texts: the answer is whole and bounded. */
static void test_many(void **state)
{
    static struct health_work works[100];
    struct health *health = health_new(0);
    char what[HEALTH_TEXT_MAX];
    const char *text;

    (void)state;
    memset(what, '"', sizeof(what) - 1);
    what[sizeof(what) - 1] = '\0';
    for (int i = 0; i < 100; i++)
        health_begin(health, &works[i], what);
    text = told(health, clock_monotonic_ms() + 5000, 0);
    assert_true(strlen(text) > 6000 && strlen(text) < LIMIT_HEALTH_ANSWER + 300);
    assert_string_equal(text + strlen(text) - 4, "\"]}\n");
    for (int i = 0; i < 100; i++)
        health_end(health, &works[i]);
    health_free(health);
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start),    cmocka_unit_test(test_loop), cmocka_unit_test(test_work),
        cmocka_unit_test(test_problems), cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
