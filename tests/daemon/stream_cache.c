/* stream_cache: one stream for all who want the same, whoever makes it, wherever its parts wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <uv.h>

#include "origin/bell.h"
#include "origin/memory_budget.h"
#include "origin/scan_cache.h"
#include "origin/stream_cache.h"
#include "origin/stream_maker.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/base/log.h"
#include "protocol/sync/local_copy.h"
#include "protocol/sync/page_scan.h"
#include "protocol/sync/sender.h"

#define TIMEOUT_MS 5000
#define MIB        (1u << 20)

static uv_loop_t loop;
static struct bell *bell;
static struct memory_budget *budget;
static struct scan_cache *scans;
static struct stream_cache *streams;
static char folder[64];
static char path[96];
static struct page_scan *old_scan; /* what the replicas have */
static struct page_scan *new_scan; /* what they are to get */
static struct local_copy copy;     /* borrowed that, without a connection */
static int rings;

/* Run SQL by a program of its own. */
static void sql(const char *statements)
{
    char command[1024];

    snprintf(command, sizeof(command),
             "python3 -c \"import sqlite3; c = sqlite3.connect('%s'); c.executescript('''%s''')\"",
             path, statements);
    assert_int_equal(system(command), 0);
}

/* A checkpoint that nobody's snapshot holds up. */
static void checkpoint(void)
{
    char command[512];

    snprintf(command, sizeof(command),
             "python3 -c \"import sqlite3, sys; c = sqlite3.connect('%s', timeout=0); "
             "sys.exit(c.execute('pragma wal_checkpoint(truncate)').fetchone()[0])\"",
             path);
    assert_int_equal(system(command), 0);
}

static struct page_scan *scan(void)
{
    struct scan_identity identity = {.is_stored = 1, .hash_key = {7}};
    struct scan_request request = {.entry_id = 0};
    struct page_scan *got;
    struct error error = {0};

    assert_int_equal(scan_cache_get(scans, &request, path, &identity, TIMEOUT_MS, &got, &error), 0);
    return got;
}

static void borrow(struct page_scan *which)
{
    struct sidecar_state book = {0};
    struct error error = {0};

    assert_int_equal(local_copy_name(&copy, path, TIMEOUT_MS, &error), 0);
    local_copy_borrow(&copy, which, &book, scan_cache_prove, scans);
}

/* A database of 3 MB that does not compress, of which a third is changed. */
static void set_up_with(uint64_t memory, uint64_t spool)
{
    uv_loop_init(&loop);
    bell = bell_new(&loop);
    budget = memory_budget_new(memory);
    scans = scan_cache_new(bell, budget);
    streams = stream_cache_new(bell, budget, spool);
    snprintf(folder, sizeof(folder), "/tmp/lockstep-streams-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/a.db", folder);
    sql("pragma journal_mode=wal; create table t(x); with recursive n(i) as (select 1 union all "
        "select i + 1 from n where i < 750) "
        "insert into t select randomblob(3900) from n");
    old_scan = scan();
    sql("update t set x = randomblob(3900) where rowid % 3 = 0");
    new_scan = scan();
    borrow(new_scan);
    rings = 0;
}

static int set_up(void **state)
{
    (void)state;
    log_setup(LOG_WARNING, "test", 0);
    set_up_with(512 * MIB, 64 * MIB);
    return 0;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    local_copy_release(&copy);
    page_scan_free(old_scan);
    page_scan_free(new_scan);
    stream_cache_free(streams);
    scan_cache_free(scans);
    assert_int_equal(memory_budget_used(budget), 0);
    memory_budget_free(budget);
    bell_close(bell);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

static int level = 3; /* that the next reader wants */

static void on_ring(void *user)
{
    (void)user;
    rings++;
}

/* A sender that has found what differs, for a replica that has the old content, or nothing. */
static struct sender *find(int has_old)
{
    struct sender_options options = {.level = level, .stops = 1};
    struct sender *sender;
    struct error error = {0};

    if (has_old) {
        options.theirs = *page_scan_geometry(old_scan);
        options.known = page_scan_index(old_scan);
    }
    assert_int_equal(sender_new(&sender, &copy, &options, &error), 0);
    assert_int_equal(sender_status(sender), PARTY_WAITS);
    return sender;
}

static int open_as(struct stream_reader *reader, int has_old, struct sender **sender)
{
    const struct stream_options options = {.path = path, .timeout_ms = TIMEOUT_MS, .level = level};
    struct error error = {0};

    *reader = (struct stream_reader){.ticket = {.on_ring = on_ring}};
    *sender = find(has_old);
    return stream_open(streams, reader, sender, &copy, &options, &error);
}

static void open_stream(struct stream_reader *reader, int has_old)
{
    struct sender *sender;

    assert_int_equal(open_as(reader, has_old, &sender), 0);
    assert_null(sender);
    assert_non_null(reader->stream);
}

/* Read at most so many parts. Returns whether the end was reached. */
static int read_parts(struct stream_reader *reader, int parts, struct buffer *out)
{
    enum stream_status status = STREAM_GOES_ON;
    struct error error = {0};

    for (int i = 0; i < parts && status == STREAM_GOES_ON; i++)
        assert_int_equal(stream_read(streams, reader, &status, out, &error), 0);
    assert_int_not_equal(status, STREAM_WAITS);
    return status == STREAM_ENDS;
}

/* What the stream is when it is made for one alone. */
static void make_alone(struct buffer *out)
{
    const struct old_pages nothing = {NULL, NULL, 0};
    struct sender *sender = find(1);
    struct error error = {0};
    size_t len = 0;

    assert_int_equal(local_copy_connect(&copy, &error), 0);
    assert_int_equal(sender_begin(sender, &copy, &nothing, &error), 0);
    while (sender_status(sender) != PARTY_DONE) {
        len = out->len;
        assert_int_equal(sender_speak(sender, out, &error), 0);
    }
    out->len = len; /* without END */
    sender_free(sender);
    local_copy_disconnect(&copy);
}

static void assert_same(const struct buffer *a, const struct buffer *b)
{
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->data, b->data, a->len);
}

/* Three readers at their own pace; the one that began goes in the middle. */
static void check_sharing(void)
{
    struct stream_reader readers[3];
    struct stream_cache_stats stats;
    struct buffer alone, out[3];

    buffer_init(&alone, 16 * MIB);
    make_alone(&alone);
    assert_true(alone.len > MIB - MIB / 8);
    for (int i = 0; i < 3; i++) {
        buffer_init(&out[i], 16 * MIB);
        open_stream(&readers[i], 1);
        assert_ptr_equal(readers[i].stream, readers[0].stream);
    }
    assert_false(read_parts(&readers[0], 2, &out[0]));
    assert_false(read_parts(&readers[1], 1, &out[1]));
    stream_close(streams, &readers[0]);
    assert_true(read_parts(&readers[2], 1000, &out[2]));
    assert_true(read_parts(&readers[1], 1000, &out[1]));
    assert_same(&out[1], &alone);
    assert_same(&out[2], &alone);
    assert_int_equal(stream_pages(&readers[1]), stream_pages(&readers[2]));
    stream_close(streams, &readers[1]);
    stream_close(streams, &readers[2]);
    /* One that comes later finds it whole. */
    out[0].len = 0;
    open_stream(&readers[0], 1);
    assert_true(read_parts(&readers[0], 1000, &out[0]));
    assert_same(&out[0], &alone);
    stream_close(streams, &readers[0]);
    stream_cache_read(streams, &stats);
    assert_int_equal(stats.made, 1);
    assert_int_equal(stats.shared, 3);
    for (int i = 0; i < 3; i++)
        buffer_release(&out[i]);
    buffer_release(&alone);
}

/* Who wants another level has a stream of his own, and shares it with who wants the same. */
static void test_levels_are_not_shared(void **state)
{
    const int levels[] = {3, 0, 3, 9, 0, 9};
    struct stream_reader readers[6];
    struct stream_cache_stats stats;
    struct buffer out;
    size_t lens[6];

    (void)state;
    buffer_init(&out, 16 * MIB);
    for (int i = 0; i < 6; i++) {
        level = levels[i];
        open_stream(&readers[i], 1);
        out.len = 0;
        assert_true(read_parts(&readers[i], 1000, &out));
        lens[i] = out.len;
    }
    level = 3;
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < i; j++) {
            assert_int_equal(readers[i].stream == readers[j].stream, levels[i] == levels[j]);
            assert_int_equal(lens[i] == lens[j], levels[i] == levels[j]);
        }
    }
    for (int i = 0; i < 6; i++)
        stream_close(streams, &readers[i]);
    stream_cache_read(streams, &stats);
    assert_int_equal(stats.made, 3);
    assert_int_equal(stats.shared, 3);
    buffer_release(&out);
}

static void test_sharing_in_memory(void **state)
{
    struct stream_cache_stats stats;

    (void)state;
    check_sharing();
    stream_cache_read(streams, &stats);
    assert_int_equal(stats.spool_bytes, 0);
}

static int set_up_file(void **state)
{
    (void)state;
    /* A stream is not let have more than an eighth. */
    set_up_with(25 * MIB - MIB / 2, 64 * MIB);
    return 0;
}

static void test_sharing_in_file(void **state)
{
    struct stream_cache_stats stats;

    (void)state;
    check_sharing();
    stream_cache_read(streams, &stats);
    assert_true(stats.spool_bytes > 0);
}

/* Who has other old content gets another stream. */
static void test_difference_matters(void **state)
{
    struct stream_reader one, other;

    (void)state;
    open_stream(&one, 1);
    open_stream(&other, 0);
    assert_ptr_not_equal(one.stream, other.stream);
    assert_true(stream_pages(&other) > stream_pages(&one));
    stream_close(streams, &one);
    stream_close(streams, &other);
}

/* An unfinished stream that nobody reads holds no snapshot: the WAL can be checkpointed and begun
 * anew. */
static void test_abandoned(void **state)
{
    struct stream_reader reader;
    struct buffer out;

    (void)state;
    buffer_init(&out, 16 * MIB);
    open_stream(&reader, 1);
    assert_false(read_parts(&reader, 1, &out));
    stream_close(streams, &reader);
    checkpoint();
    buffer_release(&out);
}

/* The database moved before anything was read of it: all readers hear of it, and who comes then
 * begins anew. */
static void test_moved(void **state)
{
    enum stream_status status;
    struct stream_reader one, other;
    struct buffer out;
    struct error error = {0};

    (void)state;
    buffer_init(&out, 16 * MIB);
    open_stream(&one, 1);
    open_stream(&other, 1);
    sql("delete from t where rowid = 1");
    assert_int_equal(stream_read(streams, &one, &status, &out, &error), ERR_MOVED);
    error_init(&error);
    assert_int_equal(stream_read(streams, &other, &status, &out, &error), ERR_MOVED);
    assert_int_equal(out.len, 0);
    stream_close(streams, &one);
    stream_close(streams, &other);
    page_scan_free(new_scan);
    new_scan = scan();
    local_copy_release(&copy);
    borrow(new_scan);
    open_stream(&one, 1);
    assert_true(read_parts(&one, 1000, &out));
    stream_close(streams, &one);
    buffer_release(&out);
}

/* ---- those who wait ---- */

/* How read_all ended: by the end of the stream, or because the other one makes the next part. */
static enum stream_status maker_status;

/* Read as far as it goes. */
static void *read_all(void *arg)
{
    struct stream_reader *reader = arg;
    enum stream_status status = STREAM_GOES_ON;
    struct buffer out;
    struct error error = {0};
    int rc = 0;

    buffer_init(&out, 16 * MIB);
    while (rc == 0 && status == STREAM_GOES_ON)
        rc = stream_read(streams, reader, &status, &out, &error);
    buffer_release(&out);
    maker_status = status;
    return rc == 0 ? NULL : arg;
}

/* While one makes parts another comes, and is rung for once there are some. */
static void test_waiting(void **state)
{
    enum stream_status status = STREAM_GOES_ON;
    struct stream_reader maker, waiter;
    struct error error = {0};
    struct buffer out;
    pthread_t thread;
    void *failed;

    (void)state;
    buffer_init(&out, 64 * MIB);
    for (int i = 0; i < 50 && status != STREAM_WAITS; i++) {
        /* Made anew each time. */
        rings = 0;
        sql("insert into t values(1)");
        page_scan_free(new_scan);
        new_scan = scan();
        local_copy_release(&copy);
        borrow(new_scan);
        open_stream(&maker, 0);
        open_stream(&waiter, 0);
        pthread_create(&thread, NULL, read_all, &maker);
        usleep(1000);
        do {
            out.len = 0;
            assert_int_equal(stream_read(streams, &waiter, &status, &out, &error), 0);
        } while (status == STREAM_GOES_ON);
        pthread_join(thread, &failed);
        assert_null(failed);
        uv_run(&loop, UV_RUN_NOWAIT);
        /* Each that waits is rung for, the maker too where the other one was faster. */
        assert_int_equal(rings, (status == STREAM_WAITS) + (maker_status == STREAM_WAITS));
        if (status == STREAM_WAITS)
            assert_true(read_parts(&waiter, 1000, &out));
        stream_leave(streams, &waiter);
        stream_leave(streams, &maker);
        stream_close(streams, &maker);
        stream_close(streams, &waiter);
    }
    assert_int_equal(status, STREAM_WAITS);
    buffer_release(&out);
}

/* ---- limits ---- */

static int set_up_no_spool(void **state)
{
    (void)state;
    set_up_with(64 * MIB, MIB);
    return 0;
}

/* What may not have room is left to the session. */
static void test_no_room_for_all(void **state)
{
    struct stream_reader reader;
    struct sender *sender;

    (void)state;
    assert_int_equal(open_as(&reader, 1, &sender), 0);
    assert_null(reader.stream);
    assert_non_null(sender);
    assert_int_equal(sender_status(sender), PARTY_WAITS);
    sender_free(sender);
}

static int set_up_no_memory(void **state)
{
    (void)state;
    set_up_with(MIB, 64 * MIB);
    return 0;
}

static void test_no_memory(void **state)
{
    struct stream_reader reader;
    struct sender *sender;

    (void)state;
    assert_int_equal(open_as(&reader, 1, &sender), ERR_TRY_LATER);
    assert_null(reader.stream);
    sender_free(sender);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sharing_in_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sharing_in_file, set_up_file, tear_down),
        cmocka_unit_test_setup_teardown(test_difference_matters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_levels_are_not_shared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_abandoned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_moved, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_waiting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_room_for_all, set_up_no_spool, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory, set_up_no_memory, tear_down)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
