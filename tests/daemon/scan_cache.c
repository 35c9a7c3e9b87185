/* scan_cache: one scan for all, good until something changed, whoever changed it and however. */
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
#include "protocol/base/error.h"
#include "protocol/page/database.h"
#include "protocol/sync/local_copy.h"
#include "protocol/sync/page_scan.h"

#define TIMEOUT_MS 5000
#define PAGE       4096u

static uv_loop_t loop;
static struct bell *bell;
static struct memory_budget *budget;
static struct scan_cache *cache;
static char folder[64];
static char path[96];
static struct scan_identity identity;

static int set_up_with(uint64_t memory)
{
    uv_loop_init(&loop);
    bell = bell_new(&loop);
    budget = memory_budget_new(memory);
    cache = scan_cache_new(bell, budget);
    snprintf(folder, sizeof(folder), "/tmp/lockstep-scans-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/a.db", folder);
    identity = (struct scan_identity){.is_stored = 1};
    memset(identity.hash_key, 7, sizeof(identity.hash_key));
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    return set_up_with(1 << 20);
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    scan_cache_free(cache);
    memory_budget_free(budget);
    bell_close(bell);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

/* Run SQL by a program of its own, as another writer would. */
static void sql(const char *statements)
{
    char command[512];

    snprintf(command, sizeof(command),
             "python3 -c \"import sqlite3; c = sqlite3.connect('%s'); c.executescript('''%s''')\"",
             path, statements);
    assert_int_equal(system(command), 0);
}

static void make(const char *mode)
{
    char statements[200];

    snprintf(statements, sizeof(statements),
             "pragma journal_mode=%s; create table t(x); insert into t values(zeroblob(40000));",
             mode);
    sql(statements);
}

static struct page_scan *get(void)
{
    struct scan_request request = {.entry_id = 0};
    struct page_scan *scan;
    struct error error = {0};

    assert_int_equal(scan_cache_get(cache, &request, path, &identity, TIMEOUT_MS, &scan, &error),
                     0);
    assert_int_equal(error.code, 0);
    return scan;
}

static uint64_t scans(void)
{
    struct scan_cache_stats stats;

    scan_cache_read(cache, &stats);
    return stats.scans;
}

static void root_of(const struct page_scan *scan, uint8_t root[ROOT_SIZE])
{
    memcpy(root, page_scan_geometry(scan)->root, ROOT_SIZE);
}

/* Unchanged, it is scanned once; after another program's commit again; and the earlier scan can
 * still be found. */
static void check_sharing(const char *mode)
{
    struct page_scan *first, *second, *third, *found;
    uint8_t root[ROOT_SIZE];

    make(mode);
    first = get();
    second = get();
    assert_ptr_equal(first, second);
    assert_int_equal(scans(), 1);
    root_of(first, root);
    sql("update t set x = 1");
    third = get();
    assert_ptr_not_equal(first, third);
    assert_int_equal(scans(), 2);
    assert_memory_not_equal(page_scan_geometry(third)->root, root, ROOT_SIZE);
    found = scan_cache_find(cache, path, identity.hash_key, root);
    assert_ptr_equal(found, first);
    page_scan_free(first);
    page_scan_free(second);
    page_scan_free(third);
    page_scan_free(found);
}

static void test_sharing_wal(void **state)
{
    (void)state;
    check_sharing("wal");
}

static void test_sharing_rollback(void **state)
{
    (void)state;
    check_sharing("delete");
}

/* A copy that borrowed the scan, with its own connection. */
static void borrow(struct local_copy *copy, struct page_scan *scan)
{
    struct sidecar_state book = {0};
    struct error error = {0};

    assert_int_equal(local_copy_open(copy, path, TIMEOUT_MS, &error), 0);
    local_copy_borrow(copy, scan, &book, scan_cache_prove, cache);
}

static void check_hold(const char *mode)
{
    struct page_scan *scan;
    struct local_copy copy;
    struct error error = {0};

    make(mode);
    scan = get();
    borrow(&copy, scan);
    assert_int_equal(local_copy_hold(&copy, &error), 0);
    /* From here on the copy's own connection can tell. */
    local_copy_let_go(&copy);
    assert_int_equal(local_copy_hold(&copy, &error), 0);
    local_copy_let_go(&copy);
    sql("update t set x = 1");
    assert_int_equal(local_copy_hold(&copy, &error), ERR_MOVED);
    /* A new connection, of a copy that borrowed what is no more. */
    local_copy_disconnect(&copy);
    assert_int_equal(local_copy_connect(&copy, &error), 0);
    assert_int_equal(local_copy_hold(&copy, &error), ERR_MOVED);
    local_copy_release(&copy);
    page_scan_free(scan);
}

static void test_hold_wal(void **state)
{
    (void)state;
    check_hold("wal");
}

static void test_hold_rollback(void **state)
{
    (void)state;
    check_hold("delete");
}

/* The commit comes after the copy's transaction began: it sees what was scanned, but that cannot be
 * proven any more. */
static void test_commit_behind_the_back(void **state)
{
    struct database_state state_of;
    struct page_scan *scan;
    struct local_copy copy;
    struct error error = {0};

    (void)state;
    make("wal");
    scan = get();
    borrow(&copy, scan);
    assert_int_equal(database_begin_read(copy.db, &state_of, &error), 0);
    sql("update t set x = 1");
    assert_false(scan_cache_prove(cache, &copy));
    database_end(copy.db);
    local_copy_release(&copy);
    page_scan_free(scan);
}

/* Another file is put in the place of the one that is open. */
static void test_replaced_file(void **state)
{
    char other[128], command[1024];
    struct page_scan *first, *second;

    (void)state;
    make("wal");
    first = get();
    snprintf(other, sizeof(other), "%s/b.db", folder);
    snprintf(command, sizeof(command),
             "python3 -c \"import sqlite3; c = sqlite3.connect('%s'); c.executescript('create "
             "table other(y)')\" && rm -f %s-wal %s-shm && mv %s %s",
             other, path, path, other, path);
    assert_int_equal(system(command), 0);
    second = get();
    assert_memory_not_equal(page_scan_geometry(first)->root, page_scan_geometry(second)->root,
                            ROOT_SIZE);
    page_scan_free(first);
    page_scan_free(second);
}

static void test_missing_file(void **state)
{
    struct page_scan *scan;

    (void)state;
    scan = get();
    assert_int_equal(page_scan_geometry(scan)->page_count, 0);
    assert_true(page_scan_state(scan)->is_empty);
    page_scan_free(scan);
    make("wal");
    scan = get();
    assert_true(page_scan_geometry(scan)->page_count > 10);
    page_scan_free(scan);
}

/* What was pushed through another connection need not be scanned; what somebody else committed on
 * top must be. */
static void check_publish(int interfere, const char *mode)
{
    struct page_scan *before, *after;
    uint8_t page[PAGE] = {0};
    struct page_hasher hasher;
    struct page_index index = {0};
    struct local_copy copy;
    struct error error = {0};

    make(mode);
    before = get();
    borrow(&copy, before);
    assert_int_equal(local_copy_lock(&copy, &error), 0);
    memset(page + 100, 'p', sizeof(page) - 100);
    assert_int_equal(database_write_page(copy.db, copy.geometry.page_count, page, PAGE, &error), 0);
    assert_int_equal(database_commit(copy.db, &error), 0);
    assert_int_equal(page_index_resize(&index, copy.geometry.page_count, &error), 0);
    index.page_size = PAGE;
    memcpy(index.hashes, copy.index.hashes, index.page_count * sizeof(*index.hashes));
    page_hasher_init(&hasher, identity.hash_key);
    index.hashes[index.page_count - 1] = page_hash(&hasher, index.page_count, page, PAGE);
    local_copy_swap_index(&copy, &index);
    if (interfere)
        sql("create table u(z)");
    scan_cache_publish(cache, &copy);
    assert_int_equal(scans(), 1);
    after = get();
    assert_int_equal(scans(), 1 + (uint64_t)interfere);
    if (!interfere)
        assert_memory_equal(page_scan_index(after)->hashes, copy.index.hashes,
                            copy.index.page_count * sizeof(struct page_hash));
    /* A scan by others finds the same. */
    assert_int_equal(local_copy_scan(&copy, identity.hash_key, &error), 0);
    assert_memory_equal(copy.geometry.root, page_scan_geometry(after)->root, ROOT_SIZE);
    page_scan_free(before);
    page_scan_free(after);
    local_copy_release(&copy);
}

static void test_publish(void **state)
{
    (void)state;
    check_publish(0, "wal");
}

static void test_publish_rollback(void **state)
{
    (void)state;
    check_publish(0, "delete");
}

static void test_publish_and_somebody_else(void **state)
{
    (void)state;
    check_publish(1, "wal");
}

/* ---- those who wait ---- */

static int rings;

static void on_ring(void *user)
{
    (void)user;
    rings++;
}

static void *hold_lock(void *arg)
{
    char command[400];

    (void)arg;
    snprintf(command, sizeof(command),
             "python3 -c \"import sqlite3, time, os; c = sqlite3.connect('%s', "
             "isolation_level=None); c.execute('begin exclusive'); "
             "open('%s/locked', 'w').close(); time.sleep(%d)\"",
             path, folder, *(int *)arg);
    assert_int_equal(system(command), 0);
    return NULL;
}

static void *get_alone(void *arg)
{
    struct scan_request request = {.entry_id = 0};
    struct scan_identity own = identity;
    struct page_scan *scan = NULL;
    struct error error = {0};
    uint32_t *timeout_ms = arg;
    int rc = scan_cache_get(cache, &request, path, &own, *timeout_ms, &scan, &error);

    page_scan_free(scan);
    *timeout_ms = (uint32_t)rc;
    return NULL;
}

/* A scan that waits for a lock does not keep a second session's thread; that is rung for, and told
 * the outcome. */
static void check_waiting(int seconds, uint32_t timeout_ms, int outcome)
{
    struct scan_request request = {.ticket = {.on_ring = on_ring}};
    struct error error = {0};
    struct page_scan *scan;
    pthread_t locker, getter;
    char locked[100];

    make("delete");
    snprintf(locked, sizeof(locked), "%s/locked", folder);
    pthread_create(&locker, NULL, hold_lock, &seconds);
    while (access(locked, F_OK) != 0)
        usleep(1000);
    pthread_create(&getter, NULL, get_alone, &timeout_ms);
    /* The getter gets there first, or else we would wait for the lock ourselves. */
    usleep(300000);
    rings = 0;
    assert_int_equal(scan_cache_get(cache, &request, path, &identity, timeout_ms, &scan, &error),
                     0);
    assert_null(scan);
    pthread_join(getter, NULL);
    assert_int_equal(timeout_ms, outcome);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(rings, 1);
    assert_int_equal(scan_cache_get(cache, &request, path, &identity, 1000, &scan, &error),
                     outcome);
    page_scan_free(scan);
    assert_int_equal(scans(), 1);
    pthread_join(locker, NULL);
}

static void test_waiting(void **state)
{
    (void)state;
    check_waiting(1, 20000, 0);
}

static void test_waiting_for_a_failure(void **state)
{
    (void)state;
    check_waiting(2, 800, ERR_BUSY);
}

/* One that leaves is not rung for. */
static void test_leaving(void **state)
{
    struct bell_ticket tickets[3] = {
        {.on_ring = on_ring}, {.on_ring = on_ring}, {.on_ring = on_ring}};

    (void)state;
    rings = 0;
    for (int i = 0; i < 3; i++)
        bell_ring(bell, &tickets[i]);
    bell_ring(bell, &tickets[0]);
    bell_silence(bell, &tickets[1]);
    bell_silence(bell, &tickets[1]);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(rings, 2);
    bell_ring(bell, &tickets[2]);
    bell_silence(bell, &tickets[2]);
    bell_ring(bell, &tickets[0]);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(rings, 3);
}

/* ---- memory ---- */

static int set_up_small(void **state)
{
    (void)state;
    /* Room for two scans of a dozen pages. */
    return set_up_with(2 * page_scan_size(16));
}

static void test_memory(void **state)
{
    struct page_scan *held[3];
    struct scan_request request = {.entry_id = 0};
    struct error error = {0};
    struct page_scan *scan;
    uint8_t first[ROOT_SIZE];

    (void)state;
    make("wal");
    held[0] = get();
    root_of(held[0], first);
    page_scan_free(held[0]);
    sql("update t set x = 1");
    held[0] = get();
    scan = scan_cache_find(cache, path, identity.hash_key, first);
    assert_non_null(scan);
    page_scan_free(scan);
    /* A third does not fit beside these two: the earliest goes. */
    sql("update t set x = 2");
    held[1] = get();
    assert_null(scan_cache_find(cache, path, identity.hash_key, first));
    assert_true(memory_budget_used(budget) <= memory_budget_max(budget));
    /* Those that are in use leave no room. */
    sql("update t set x = 3");
    assert_int_equal(scan_cache_get(cache, &request, path, &identity, TIMEOUT_MS, &scan, &error),
                     ERR_TRY_LATER);
    page_scan_free(held[0]);
    page_scan_free(held[1]);
    error_init(&error);
    assert_int_equal(scan_cache_get(cache, &request, path, &identity, TIMEOUT_MS, &scan, &error),
                     0);
    page_scan_free(scan);
}

/* Sessions with a database that has no lineage yet offer it the same one. */
static void test_offer(void **state)
{
    struct scan_identity one = {.lineage = {1}, .hash_key = {1}},
                         two = {.lineage = {2}, .hash_key = {2}};
    struct scan_request request = {.entry_id = 0};
    struct error error = {0};
    struct page_scan *first, *second;

    (void)state;
    make("wal");
    assert_int_equal(scan_cache_get(cache, &request, path, &one, TIMEOUT_MS, &first, &error), 0);
    assert_int_equal(scan_cache_get(cache, &request, path, &two, TIMEOUT_MS, &second, &error), 0);
    assert_memory_equal(&one, &two, sizeof(one));
    assert_ptr_equal(first, second);
    page_scan_free(first);
    page_scan_free(second);
    /* It has one now, so it may become another database's: what was offered is not offered again.
     */
    page_scan_free(get());
    two = (struct scan_identity){.lineage = {3}, .hash_key = {3}};
    assert_int_equal(scan_cache_get(cache, &request, path, &two, TIMEOUT_MS, &first, &error), 0);
    assert_int_equal(two.lineage[0], 3);
    page_scan_free(first);
}

/* Nothing is kept open behind the entry that is forgotten: the journal mode can be changed. */
static void test_forget(void **state)
{
    (void)state;
    make("wal");
    page_scan_free(get());
    scan_cache_forget(cache, path);
    sql("pragma journal_mode=delete");
    page_scan_free(get());
    assert_int_equal(scans(), 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_sharing_wal),
        TEST(test_sharing_rollback),
        TEST(test_hold_wal),
        TEST(test_hold_rollback),
        TEST(test_commit_behind_the_back),
        TEST(test_replaced_file),
        TEST(test_missing_file),
        TEST(test_publish),
        TEST(test_publish_rollback),
        TEST(test_publish_and_somebody_else),
        TEST(test_waiting),
        TEST(test_waiting_for_a_failure),
        TEST(test_leaving),
        TEST(test_offer),
        TEST(test_forget),
        cmocka_unit_test_setup_teardown(test_memory, set_up_small, tear_down)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
