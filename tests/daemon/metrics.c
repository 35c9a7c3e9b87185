/* What is counted is told, names from outside cannot break the format, and their number is bounded. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "origin/loop_watch.h"
#include "origin/metrics.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"

static struct buffer out;

/* All of it, as a string that lives until the next call. */
static const char *told(struct metrics *metrics)
{
    const struct metrics_now now = {
        .is_healthy = 1, .scans = {.scans = 2, .shared = 5, .scan_seconds = 1.75},
        .streams = {.made = 3, .shared = 199, .spool_bytes = 4096}, .memory_used = 100, .memory_max = 1000};
    struct error error = {0};

    buffer_release(&out);
    buffer_init(&out, LIMIT_METRICS_ANSWER);
    assert_int_equal(metrics_render(metrics, &now, &out, &error), 0);
    assert_int_equal(buffer_append(&out, "", 1, NULL), 0);
    return (const char *)out.data;
}

/* A whole line that begins the text or comes after another. */
static void assert_line(struct metrics *metrics, const char *line)
{
    const char *text = told(metrics);

    for (const char *spot = text; (spot = strstr(spot, line)) != NULL; spot++) {
        if (spot[strlen(line)] == '\n' && (spot == text || spot[-1] == '\n'))
            return;
    }
    fail_msg("no line %s in:\n%s", line, text);
}

static unsigned count(struct metrics *metrics, const char *begin)
{
    unsigned found = 0;

    for (const char *spot = told(metrics); (spot = strstr(spot, begin)) != NULL; spot++)
        found++;
    return found;
}

static void test_connections_and_bytes(void **state)
{
    struct metrics *metrics = metrics_new();

    (void)state;
    assert_line(metrics, "lockstep_healthy 1");
    assert_line(metrics, "lockstep_connections 0");
    assert_line(metrics, "lockstep_connections_closed_total{outcome=\"NONE\"} 0");
    for (int i = 0; i < 4; i++)
        metrics_connection_opened(metrics);
    metrics_connection_closed(metrics, ERR_NONE);
    metrics_connection_closed(metrics, ERR_AUTH);
    metrics_connection_closed(metrics, 100000);
    metrics_bytes(metrics, METRICS_SENT, METRICS_PAGES, 5);
    metrics_bytes(metrics, METRICS_SENT, METRICS_PAGES, 9007199254740000);
    metrics_bytes(metrics, METRICS_RECEIVED, METRICS_SKETCH, 7);
    assert_line(metrics, "lockstep_connections 1");
    assert_line(metrics, "lockstep_connections_opened_total 4");
    assert_line(metrics, "lockstep_connections_closed_total{outcome=\"AUTH\"} 1");
    assert_line(metrics, "lockstep_connections_closed_total{outcome=\"INTERNAL\"} 1");
    assert_line(metrics, "lockstep_sent_bytes_total{kind=\"pages\"} 9007199254740005");
    assert_line(metrics, "lockstep_received_bytes_total{kind=\"sketch\"} 7");
    assert_line(metrics, "lockstep_received_bytes_total{kind=\"other\"} 0");
    metrics_free(metrics);
}

static void test_databases(void **state)
{
    static const struct loop_watch_stats turns = {
        .turns = 3, .busy_ns = 2500000000, .longest_ns = 12000000, .longest_cpu_ns = 500000, .long_turns = 1};
    struct metrics *metrics = metrics_new();

    (void)state;
    metrics_version(metrics, "a.db", 7);
    metrics_version(metrics, "a.db", 0); /* not known: says nothing */
    metrics_deed(metrics, "a.db", METRICS_PUSH, ERR_NONE);
    metrics_deed(metrics, "a.db", METRICS_PUSH, ERR_STALE_BASE);
    metrics_deed(metrics, "a.db", METRICS_PUSH, ERR_STALE_BASE);
    metrics_deed(metrics, "a.db", METRICS_PULL, ERR_NO_LINK);
    metrics_waits(metrics, "a.db", METRICS_QUEUE_PUSH, 1);
    metrics_waits(metrics, "a.db", METRICS_QUEUE_PUSH, 1);
    metrics_waits(metrics, "a.db", METRICS_QUEUE_PUSH, -1);
    metrics_waits(metrics, "a.db", METRICS_QUEUE_RUN, -1); /* one that was forgotten: not below 0 */
    metrics_lease(metrics, "a.db", "held", 12, "iad/x");
    metrics_loop(metrics, &turns);
    assert_line(metrics, "lockstep_database_version{database=\"a.db\"} 7");
    assert_line(metrics, "lockstep_scan_seconds_sum 1.75");
    assert_line(metrics, "lockstep_scan_seconds_count 2");
    assert_line(metrics, "lockstep_scans_spared_total 5");
    assert_line(metrics, "lockstep_streams_total 3");
    assert_line(metrics, "lockstep_streams_spared_total 199");
    assert_line(metrics, "lockstep_spool_bytes 4096");
    assert_line(metrics, "lockstep_shared_memory_bytes 100");
    assert_line(metrics, "lockstep_shared_memory_max_bytes 1000");
    assert_line(metrics, "lockstep_pushes_total{database=\"a.db\",outcome=\"NONE\"} 1");
    assert_line(metrics, "lockstep_pushes_total{database=\"a.db\",outcome=\"STALE_BASE\"} 2");
    assert_line(metrics, "lockstep_pulls_total{database=\"a.db\",outcome=\"NO_LINK\"} 1");
    assert_line(metrics, "lockstep_waiting{database=\"a.db\",queue=\"push\"} 1");
    assert_line(metrics, "lockstep_waiting{database=\"a.db\",queue=\"run\"} 0");
    assert_line(metrics, "lockstep_lease_token{database=\"a.db\",state=\"held\",holder=\"iad/x\"} 12");
    assert_line(metrics, "lockstep_loop_turn_max_seconds{clock=\"wall\"} 0.012");
    assert_line(metrics, "lockstep_loop_turn_max_seconds{clock=\"cpu\"} 0.0005");
    assert_line(metrics, "lockstep_loop_busy_seconds_total 2.5");
    metrics_free(metrics);
}

static void test_fence(void **state)
{
    struct metrics *metrics = metrics_new();

    (void)state;
    metrics_fence(metrics, "a.db", 0, "nobody");
    assert_int_equal(count(metrics, "lockstep_fence_token{"), 0);
    metrics_fence(metrics, "a.db", 5, "iad/x");
    metrics_fence(metrics, "a.db", 5, NULL); /* the sidecar, read again, names nobody */
    metrics_fence(metrics, "a.db", 4, "late");
    assert_line(metrics, "lockstep_fence_token{database=\"a.db\",holder=\"iad/x\"} 5");
    metrics_fence(metrics, "a.db", 6, NULL);
    assert_line(metrics, "lockstep_fence_token{database=\"a.db\",holder=\"\"} 6");
    metrics_free(metrics);
}

static void test_lag(void **state)
{
    struct metrics *metrics = metrics_new();

    (void)state;
    metrics_replica_holds(metrics, "a.db", "iad/app/1", 3);
    metrics_replica_holds(metrics, "a.db", "plain", 9);
    metrics_replica_holds(metrics, "b.db", "iad/app/1", 1);
    metrics_replica_holds(metrics, "a.db", "", 9);
    metrics_replica_holds(metrics, "a.db", NULL, 9);
    assert_int_equal(count(metrics, "lockstep_replica_version{"), 3);
    metrics_version(metrics, "a.db", 8);
    assert_line(metrics, "lockstep_replica_version{database=\"a.db\",instance=\"iad/app/1\",region=\"iad\"} 3");
    assert_line(metrics, "lockstep_replica_lag_versions{database=\"a.db\",instance=\"iad/app/1\",region=\"iad\"} 5");
    assert_line(metrics, "lockstep_replica_lag_versions{database=\"a.db\",instance=\"plain\",region=\"\"} 0");
    metrics_replica_holds(metrics, "a.db", "iad/app/1", 8);
    assert_line(metrics, "lockstep_replica_lag_versions{database=\"a.db\",instance=\"iad/app/1\",region=\"iad\"} 0");
    assert_int_equal(count(metrics, "lockstep_replica_version{"), 3);
    metrics_free(metrics);
}

static void test_names_from_outside(void **state)
{
    struct metrics *metrics = metrics_new();

    (void)state;
    metrics_replica_holds(metrics, "a\"\n\\.db", "x\xff\"} 1\nfake 2", 3);
    assert_line(metrics, "lockstep_replica_version{database=\"a\\\"\\n\\\\.db\",instance=\"x\xef\xbf\xbd\\\"} 1\\nfake 2\",region=\"\"} 3");
    metrics_free(metrics);
}

static void test_replicas_are_bounded(void **state)
{
    struct metrics *metrics = metrics_new();
    char name[32];

    (void)state;
    for (unsigned i = 0; i < 2 * LIMIT_METRICS_REPLICAS; i++) {
        snprintf(name, sizeof(name), "r%u.", i);
        metrics_replica_holds(metrics, "a.db", name, i + 1);
        metrics_replica_holds(metrics, "a.db", "r0.", i + 1); /* one that comes again and again */
    }
    assert_int_equal(count(metrics, "lockstep_replica_version{"), LIMIT_METRICS_REPLICAS);
    assert_int_equal(count(metrics, "instance=\"r0.\""), 3);
    assert_int_equal(count(metrics, "instance=\"r1.\""), 0);
    snprintf(name, sizeof(name), "instance=\"r%u.\"", 2 * LIMIT_METRICS_REPLICAS - 1);
    assert_int_equal(count(metrics, name), 3);
    metrics_free(metrics);
}

static void test_databases_are_bounded(void **state)
{
    struct metrics *metrics = metrics_new();
    char name[32];

    (void)state;
    metrics_waits(metrics, "waits.db", METRICS_QUEUE_PUSH, 1);
    metrics_replica_holds(metrics, "first.db", "r", 1);
    for (unsigned i = 0; i < 2 * LIMIT_METRICS_DATABASES; i++) {
        snprintf(name, sizeof(name), "d%u.", i);
        metrics_version(metrics, name, 1);
    }
    assert_int_equal(count(metrics, "lockstep_waiting{"), 2 * LIMIT_METRICS_DATABASES);
    assert_line(metrics, "lockstep_waiting{database=\"waits.db\",queue=\"push\"} 1");
    assert_int_equal(count(metrics, "first.db"), 0); /* and its replicas went with it */
    assert_int_equal(count(metrics, "lockstep_replica_version{"), 0);
    assert_int_equal(count(metrics, "lockstep_database_version{database=\"d0.\""), 0);
    metrics_free(metrics);
}

/* Half of what there is to tell must not look like all of it. */
static void test_no_room(void **state)
{
    const struct metrics_now now = {0};
    struct metrics *metrics = metrics_new();
    struct error error = {0};

    (void)state;
    buffer_release(&out);
    buffer_init(&out, 300);
    assert_int_equal(metrics_render(metrics, &now, &out, &error), ERR_INTERNAL);
    metrics_free(metrics);
}

static void nobody_counts(void **state)
{
    (void)state;
    metrics_connection_opened(NULL);
    metrics_connection_closed(NULL, 0);
    metrics_bytes(NULL, METRICS_SENT, METRICS_OTHER, 1);
    metrics_version(NULL, "a", 1);
    metrics_replica_holds(NULL, "a", "b", 1);
    metrics_deed(NULL, "a", METRICS_PULL, 0);
    metrics_fence(NULL, "a", 1, "b");
    metrics_lease(NULL, "a", "held", 1, "b");
    metrics_waits(NULL, "a", METRICS_QUEUE_RUN, 1);
    metrics_free(NULL);
}

static void work(void *user)
{
    char name[16];

    for (unsigned i = 0; i < 2000; i++) {
        snprintf(name, sizeof(name), "d%u", i % 300);
        metrics_connection_opened(user);
        metrics_version(user, name, i);
        metrics_replica_holds(user, name, "r", i);
        metrics_connection_closed(user, ERR_NONE);
    }
}

/* For ThreadSanitizer; and nothing is lost. */
static void test_many_threads(void **state)
{
    struct metrics *metrics = metrics_new();
    uv_thread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        uv_thread_create(&threads[i], work, metrics);
    told(metrics);
    for (int i = 0; i < 4; i++)
        uv_thread_join(&threads[i]);
    assert_line(metrics, "lockstep_connections_opened_total 8000");
    assert_line(metrics, "lockstep_connections 0");
    metrics_free(metrics);
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_and_bytes), cmocka_unit_test(test_databases),
        cmocka_unit_test(test_fence),                 cmocka_unit_test(test_lag),
        cmocka_unit_test(test_names_from_outside),    cmocka_unit_test(test_replicas_are_bounded),
        cmocka_unit_test(test_databases_are_bounded), cmocka_unit_test(test_no_room),
        cmocka_unit_test(nobody_counts),              cmocka_unit_test(test_many_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
