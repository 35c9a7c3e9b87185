/* The bookkeeping beside a database: what each step stores, what it refuses, and what a crash
 * between two of them leaves. */
#include "protocol/sync/sidecar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/page/page_hash.h"
#include "tests/page/sample.h"
#include "tests/sync/duet.h"

static char *path;
static struct sidecar *sidecar;

/* 32 bytes, all n. */
static const uint8_t *bytes(int n)
{
    static uint8_t all[256][ROOT_SIZE];

    memset(all[n], n, ROOT_SIZE);
    return all[n];
}

static void open_new(void)
{
    path = duet_path("db");
    ok(sidecar_open(&sidecar, path, 500, &failure));
}

static struct sidecar_state read_state(void)
{
    struct sidecar_state state;

    ok(sidecar_read(sidecar, &state, &failure));
    return state;
}

/* As the next process would see it. */
static void open_again(void)
{
    sidecar_free(sidecar);
    ok(sidecar_open(&sidecar, path, 500, &failure));
}

static struct push_record record_of(int id, int from, int to, uint64_t token)
{
    struct push_record record = {.fence = {.token = token}, .instance = "somebody"};

    memset(record.push_id, id, sizeof(record.push_id));
    memcpy(record.old_root, bytes(from), ROOT_SIZE);
    memcpy(record.new_root, bytes(to), ROOT_SIZE);
    return record;
}

static int file_is_there(void)
{
    char name[300];

    snprintf(name, sizeof(name), "%s-lockstep", path);
    return access(name, F_OK) == 0;
}

static void test_missing(void **unused)
{
    static const struct sidecar_state nothing;
    struct push_record record;
    struct sidecar_state state;
    int found = 1;

    (void)unused;
    open_new();
    state = read_state();
    assert_memory_equal(&state, &nothing, sizeof(state));
    ok(sidecar_find_push(sidecar, bytes(1), &record, &found, &failure));
    assert_false(found);
    ok(sidecar_settle(sidecar, bytes(1), &failure));
    /* Reading makes no file. */
    assert_false(file_is_there());
    sidecar_free(sidecar);
}

static void test_join(void **unused)
{
    struct sidecar_state state;

    (void)unused;
    open_new();
    ok(sidecar_join(sidecar, bytes(1), bytes(2), 0, &failure));
    ok(sidecar_set_fence(sidecar, &(struct fence){.token = 4}, &failure));
    ok(sidecar_set_base(sidecar, bytes(5), 7, &(struct page_index){0}, &failure));
    open_again();
    state = read_state();
    assert_true(state.has_lineage && state.has_base);
    assert_memory_equal(state.lineage, bytes(1), LINEAGE_SIZE);
    assert_memory_equal(state.hash_key, bytes(2), HASH_KEY_SIZE);
    assert_true(state.base_version == 7 && state.version == 7);
    /* The same again changes nothing; another one is refused, or takes its place, the fence apart.
     */
    ok(sidecar_join(sidecar, bytes(1), bytes(2), 0, &failure));
    assert_true(read_state().has_base);
    assert_int_equal(sidecar_join(sidecar, bytes(3), bytes(4), 0, &failure), ERR_MOVED);
    assert_memory_equal(read_state().lineage, bytes(1), LINEAGE_SIZE);
    ok(sidecar_join(sidecar, bytes(3), bytes(4), 1, &failure));
    state = read_state();
    assert_memory_equal(state.lineage, bytes(3), LINEAGE_SIZE);
    assert_false(state.has_base);
    assert_true(state.version == 0 && state.fence.token == 4);
    sidecar_free(sidecar);
}

static void test_versions(void **unused)
{
    struct sidecar_state state;
    struct push_record record = record_of(1, 5, 6, 0);

    (void)unused;
    open_new();
    assert_true(sidecar_version_of(&(struct sidecar_state){0}, bytes(0)) == 0);
    assert_true(sidecar_version_of(&(struct sidecar_state){0}, bytes(5)) == 1);
    ok(sidecar_begin_push(sidecar, &record, &failure));
    assert_true(record.version == 2);
    state = read_state();
    assert_true(sidecar_version_of(&state, bytes(6)) == 2);
    ok(sidecar_finish_push(sidecar, &record, &failure));
    state = read_state();
    assert_true(sidecar_version_of(&state, bytes(6)) == 2);
    /* Somebody changed it without Lockstep. */
    assert_true(sidecar_version_of(&state, bytes(9)) == 3);
    sidecar_free(sidecar);
}

/* ---- a crash between the two commits ---- */

enum fate { OLD, NEW, OTHER };

static void test_crash_between_the_commits(void **unused)
{
    (void)unused;
    for (enum fate fate = OLD; fate <= OTHER; fate++) {
        struct push_record record = record_of(1, 5, 6, 3), found_record;
        struct push_record first = record_of(9, 4, 5, 2);
        struct sidecar_state state;
        int found;
        open_new();
        ok(sidecar_begin_push(sidecar, &first, &failure));
        ok(sidecar_finish_push(sidecar, &first, &failure));
        ok(sidecar_begin_push(sidecar, &record, &failure));
        open_again();
        state = read_state();
        assert_true(state.has_intent);
        assert_memory_equal(state.intent.push_id, bytes(1), LINEAGE_SIZE);
        assert_memory_equal(state.intent.new_root, bytes(6), ROOT_SIZE);
        ok(sidecar_settle(sidecar, bytes(fate == OLD ? 5 : fate == NEW ? 6 : 8), &failure));
        open_again();
        state = read_state();
        assert_false(state.has_intent);
        ok(sidecar_find_push(sidecar, bytes(1), &found_record, &found, &failure));
        assert_int_equal(found, fate == NEW);
        assert_true(state.version == first.version + (fate == NEW));
        assert_memory_equal(state.root, bytes(fate == NEW ? 6 : 5), ROOT_SIZE);
        if (found) {
            assert_memory_equal(found_record.new_root, record.new_root, ROOT_SIZE);
            assert_true(found_record.version == record.version && found_record.fence.token == 3);
            assert_string_equal(found_record.instance, "somebody");
        }
        /* The fence of the attempt stands, whatever became of it. */
        assert_true(state.fence.token == 3);
        /* And once more is harmless. */
        ok(sidecar_settle(sidecar, bytes(6), &failure));
        ok(sidecar_find_push(sidecar, bytes(1), &found_record, &found, &failure));
        assert_int_equal(found, fate == NEW);
        sidecar_free(sidecar);
    }
}

/* The same at an origin with a database: the replica repeats its push and hears the truth. */
static void test_push_after_a_crash_between_the_commits(void **unused)
{
    (void)unused;
    for (enum fate fate = OLD; fate <= OTHER; fate++) {
        char *origin = duet_path("origin.db"), *replica = duet_path("replica.db"),
             *before = duet_path("before.db");
        struct duet_options options = {.kind = DUET_PUSH, .origin = origin, .replica = replica};
        struct duet_outcome outcome;
        struct sidecar_state book;
        struct push_record record = {0};
        struct duet duet;
        uint8_t new_root[ROOT_SIZE];

        sample_sql(origin, "CREATE TABLE t(a); INSERT INTO t VALUES(1)");
        duet_expect(duet_sync(DUET_PULL, origin, replica, NULL), 0);
        duet_copy(origin, before);
        sample_sql(replica, "INSERT INTO t VALUES(2)");
        /* A push whose receipt is lost, and an origin that is set back to between the two commits.
         */
        duet_start(&duet, &options);
        assert_true(duet_until(&duet, DUET_REPLICA, MESSAGE_RECEIPT));
        duet.options.is_cut = 1;
        duet.options.cut_side = DUET_REPLICA;
        duet.streams[DUET_REPLICA].payload = NULL;
        duet_expect(duet_finish(&duet), ERR_NO_LINK);
        book = duet_book(replica);
        assert_true(book.has_pending);
        memcpy(new_root, book.pending_root, sizeof(new_root));
        memcpy(record.push_id, book.pending_id, sizeof(record.push_id));
        memcpy(record.old_root, book.base_root, sizeof(record.old_root));
        memcpy(record.new_root, new_root, sizeof(record.new_root));
        if (fate == NEW) { /* the new pages, and the bookkeeping of before */
            long size;
            uint8_t *data = sample_read_file(origin, &size);
            duet_copy(before, origin);
            sample_write_file(origin, data, size);
            free(data);
        } else {
            duet_copy(before, origin);
        }
        if (fate == OTHER)
            sample_sql(origin, "INSERT INTO t VALUES(99)");
        ok(sidecar_open(&sidecar, origin, 500, &failure));
        ok(sidecar_begin_push(sidecar, &record, &failure));
        sidecar_free(sidecar);

        outcome = duet_sync(DUET_PUSH, origin, replica, NULL);
        duet_expect(outcome, fate == OTHER ? ERR_STALE_BASE : 0);
        book = duet_book(origin);
        assert_false(book.has_intent);
        duet_check_whole(origin);
        if (fate == OTHER) {
            assert_int_equal(sample_number(origin, "SELECT count(*) FROM t WHERE a = 99"), 1);
            continue;
        }
        duet_check_equal(origin, replica);
        assert_true(outcome.result.version == record.version && book.version == record.version);
        assert_int_equal(sample_number(origin, "SELECT count(*) FROM t"), 2);
    }
}

/* ---- pushes and fences ---- */

static void test_finish_twice(void **unused)
{
    struct push_record record = record_of(1, 5, 6, 0), later = record_of(2, 6, 7, 0);

    (void)unused;
    open_new();
    ok(sidecar_begin_push(sidecar, &record, &failure));
    ok(sidecar_finish_push(sidecar, &record, &failure));
    ok(sidecar_begin_push(sidecar, &later, &failure));
    ok(sidecar_finish_push(sidecar, &record, &failure)); /* a late answer to the earlier one */
    assert_true(read_state().has_intent);
    assert_memory_equal(read_state().root, bytes(6), ROOT_SIZE);
    ok(sidecar_finish_push(sidecar, &later, &failure));
    assert_memory_equal(read_state().root, bytes(7), ROOT_SIZE);
    assert_true(read_state().version == record.version + 1);
    sidecar_free(sidecar);
}

static void test_receipts_are_bounded(void **unused)
{
    struct push_record record = record_of(0, 5, 6, 0), known;
    int found;

    (void)unused;
    open_new();
    for (int i = 0; i < 1005; i++) {
        memset(record.push_id, 0, sizeof(record.push_id));
        memcpy(record.push_id, &i, sizeof(i));
        record.version = (uint64_t)i;
        ok(sidecar_finish_push(sidecar, &record, &failure));
    }
    for (int i = 0; i < 1005; i++) {
        uint8_t id[LINEAGE_SIZE] = {0};
        memcpy(id, &i, sizeof(i));
        ok(sidecar_find_push(sidecar, id, &known, &found, &failure));
        assert_int_equal(found, i >= 5);
    }
    sidecar_free(sidecar);
}

/* What layout 1 made, with a receipt and an intent of its time. */
static const char layout_1[] =
    "CREATE TABLE state(one INTEGER PRIMARY KEY CHECK(one = 1), lineage BLOB, hash_key BLOB,"
    " version INTEGER NOT NULL DEFAULT 0, root BLOB, fence_token INTEGER NOT NULL DEFAULT 0, fence_lease BLOB,"
    " base_root BLOB, base_version INTEGER NOT NULL DEFAULT 0, incoming_root BLOB, pending_id BLOB,"
    " pending_root BLOB, rebuilt_from BLOB, rebuilt_to BLOB);"
    "INSERT INTO state(one, lineage, hash_key, version, root)"
    " VALUES(1, zeroblob(16), zeroblob(32), 4, zeroblob(32));"
    "CREATE TABLE intent(one INTEGER PRIMARY KEY CHECK(one = 1), push_id BLOB NOT NULL, old_root BLOB NOT NULL,"
    " new_root BLOB NOT NULL, version INTEGER NOT NULL, token INTEGER NOT NULL, lease BLOB NOT NULL,"
    " time INTEGER NOT NULL, instance TEXT NOT NULL);"
    "INSERT INTO intent VALUES(1, x'02020202020202020202020202020202', zeroblob(32), randomblob(32), 5, 9, zeroblob(16),"
    " 1700000100, 'iad/later');"
    "CREATE TABLE receipt(seq INTEGER PRIMARY KEY, push_id BLOB NOT NULL UNIQUE, old_root BLOB NOT NULL,"
    " new_root BLOB NOT NULL, version INTEGER NOT NULL, token INTEGER NOT NULL, lease BLOB NOT NULL,"
    " time INTEGER NOT NULL, instance TEXT NOT NULL);"
    "INSERT INTO receipt VALUES(1, x'01010101010101010101010101010101', randomblob(32), zeroblob(32), 4, 8,"
    " zeroblob(16), 1700000000, 'ams/early');"
    "CREATE TABLE base_hashes(chunk INTEGER PRIMARY KEY, page_size INTEGER NOT NULL, hashes BLOB NOT NULL);"
    "PRAGMA user_version = 1;";

/* A sidecar of the former layout is read as it stands, and brought up to date by the first that writes. */
static void test_former_layout(void **unused)
{
    struct push_record records[4], known;
    struct sidecar_state state;
    char name[300];
    uint32_t count;
    int found;

    (void)unused;
    path = duet_path("db");
    snprintf(name, sizeof(name), "%s-lockstep", path);
    sample_sql(name, layout_1);
    ok(sidecar_open(&sidecar, path, 500, &failure));
    for (int round = 0; round < 2; round++) {
        state = read_state();
        assert_true(state.version == 4 && state.has_intent);
        assert_string_equal(state.intent.instance, "iad/later");
        assert_int_equal(state.intent.kind, ENTRY_PUSHED);
        ok(sidecar_find_push(sidecar, bytes(1), &known, &found, &failure));
        assert_true(found && known.version == 4 && known.fence.token == 8 && known.pages == 0);
        ok(sidecar_list_versions(sidecar, 0, records, 4, &count, &failure));
        assert_int_equal(count, 1);
        assert_string_equal(records[0].instance, "ams/early");
        assert_true(records[0].time == 1700000000);
        assert_int_equal(sample_number(name, "PRAGMA user_version"), round == 0 ? 1 : 2);
        ok(sidecar_set_pending(sidecar, bytes(3), bytes(4), &failure));
    }
    /* The intent of that time is finished in this one. */
    ok(sidecar_settle(sidecar, state.intent.new_root, &failure));
    ok(sidecar_list_versions(sidecar, 0, records, 4, &count, &failure));
    assert_int_equal(count, 2);
    assert_true(records[0].version == 5 && records[0].fence.token == 9);
    sidecar_free(sidecar);
}

/* Pushes, changes without Lockstep noticed by a pull or under a push, and a push of what was there. */
static void test_list_versions(void **unused)
{
    struct push_record first = record_of(1, 5, 6, 0), onto_a_change = record_of(2, 8, 9, 3), same = record_of(3, 9, 9, 3);
    struct push_record records[8];
    uint64_t version;
    uint32_t count;

    (void)unused;
    open_new();
    ok(sidecar_list_versions(sidecar, 0, records, 8, &count, &failure));
    assert_int_equal(count, 0);
    assert_false(file_is_there());
    ok(sidecar_join(sidecar, bytes(1), bytes(2), 0, &failure));
    ok(sidecar_observe(sidecar, bytes(5), &version, &failure));
    first.pages = 12;
    first.bytes = 3400;
    ok(sidecar_begin_push(sidecar, &first, &failure));
    ok(sidecar_finish_push(sidecar, &first, &failure));
    /* Noticed twice is one change. */
    ok(sidecar_observe(sidecar, bytes(7), &version, &failure));
    ok(sidecar_observe(sidecar, bytes(7), &version, &failure));
    assert_true(version == 3);
    ok(sidecar_begin_push(sidecar, &onto_a_change, &failure));
    ok(sidecar_finish_push(sidecar, &onto_a_change, &failure));
    same.version = 5;
    ok(sidecar_finish_push(sidecar, &same, &failure));
    open_again();
    ok(sidecar_list_versions(sidecar, 0, records, 8, &count, &failure));
    assert_int_equal(count, 5);
    for (uint32_t i = 0; i < count; i++) {
        static const uint32_t kinds[] = {ENTRY_PUSHED, ENTRY_CHANGED, ENTRY_CHANGED, ENTRY_PUSHED, ENTRY_CHANGED};
        assert_true(records[i].version == count - i);
        assert_int_equal(records[i].kind, kinds[i]);
        assert_true(records[i].time > 1600000000);
        assert_string_equal(records[i].instance, kinds[i] == ENTRY_PUSHED ? "somebody" : "");
    }
    assert_memory_equal(records[0].new_root, bytes(9), ROOT_SIZE);
    assert_memory_equal(records[1].new_root, bytes(8), ROOT_SIZE);
    assert_true(records[0].fence.token == 3);
    assert_true(records[3].pages == 12 && records[3].bytes == 3400);
    /* A part of it. */
    ok(sidecar_list_versions(sidecar, 4, records, 2, &count, &failure));
    assert_int_equal(count, 2);
    assert_true(records[0].version == 3 && records[1].version == 2);
    sidecar_free(sidecar);
}

static void test_fence_is_checked_again_at_the_commit(void **unused)
{
    struct push_record record = record_of(1, 5, 6, 3);

    (void)unused;
    open_new();
    ok(sidecar_set_fence(sidecar, &(struct fence){.token = 3}, &failure));
    ok(sidecar_set_fence(sidecar, &(struct fence){.token = 4}, &failure));
    assert_int_equal(sidecar_begin_push(sidecar, &record, &failure), ERR_FENCED);
    assert_false(read_state().has_intent);
    assert_int_equal(sidecar_set_fence(sidecar, &(struct fence){.token = 3}, &failure), ERR_FENCED);
    assert_true(read_state().fence.token == 4);
    sidecar_free(sidecar);
}

/* ---- a replica's ---- */

static void test_pending_and_incoming(void **unused)
{
    struct sidecar_state state;

    (void)unused;
    open_new();
    ok(sidecar_set_pending(sidecar, bytes(1), bytes(6), &failure));
    ok(sidecar_set_incoming(sidecar, bytes(7), &failure));
    state = read_state();
    assert_true(state.has_pending && state.has_incoming);
    assert_memory_equal(state.pending_id, bytes(1), LINEAGE_SIZE);
    assert_memory_equal(state.pending_root, bytes(6), ROOT_SIZE);
    assert_memory_equal(state.incoming_root, bytes(7), ROOT_SIZE);
    ok(sidecar_set_base(sidecar, bytes(6), 3, &(struct page_index){0}, &failure));
    state = read_state();
    assert_false(state.has_pending || state.has_incoming);
    sidecar_free(sidecar);
}

static void test_rebuilt(void **unused)
{
    struct sidecar_state state;

    (void)unused;
    open_new();
    ok(sidecar_set_base(sidecar, bytes(5), 3, &(struct page_index){0}, &failure));
    ok(sidecar_set_rebuilt(sidecar, bytes(5), bytes(6), &failure));
    ok(sidecar_set_rebuilt(sidecar, bytes(6), bytes(7), &failure));
    state = read_state();
    assert_true(sidecar_is_base(&state, bytes(5), bytes(7)));
    assert_true(sidecar_is_base(&state, bytes(5), bytes(5)));
    assert_false(sidecar_is_base(&state, bytes(5), bytes(6)));
    assert_false(sidecar_is_base(&state, bytes(4), bytes(7)));
    /* It is the same version. */
    assert_true(sidecar_version_of(&state, bytes(7)) == 3);
    sidecar_free(sidecar);
}

static void test_base_hashes(void **unused)
{
    static const uint32_t counts[] = {1, 4095, 4096, 4097, 9000, 3};
    struct page_index index = {0}, again = {0};
    uint8_t root[ROOT_SIZE];
    int proven;

    (void)unused;
    open_new();
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        ok(page_index_resize(&index, counts[i], &failure));
        index.page_size = 1024;
        for (uint32_t page = 0; page < counts[i]; page += 700)
            index.hashes[page].low = page + 17 + i;
        page_index_root(&index, root);
        ok(sidecar_set_base(sidecar, root, i, &index, &failure));
        open_again();
        ok(sidecar_read_base(sidecar, root, &again, &proven, &failure));
        assert_true(proven);
        assert_true(again.page_count == counts[i] && again.page_size == 1024);
        assert_memory_equal(again.hashes, index.hashes, counts[i] * sizeof(index.hashes[0]));
        /* Hashes that do not add up to the root are none. */
        ok(sidecar_read_base(sidecar, bytes(3), &again, &proven, &failure));
        assert_false(proven);
        assert_true(again.page_count == 0);
    }
    page_index_release(&index);
    page_index_release(&again);
    sidecar_free(sidecar);
}

/* ---- damage and other processes ---- */

static void test_damage(void **unused)
{
    char name[300];

    (void)unused;
    open_new();
    ok(sidecar_join(sidecar, bytes(1), bytes(2), 0, &failure));
    sidecar_free(sidecar);
    snprintf(name, sizeof(name), "%s-lockstep", path);
    sample_write_file(name,
                      "this is no database, but it is long enough to be read as one, header and "
                      "all........................",
                      100);
    assert_int_equal(sidecar_open(&sidecar, path, 500, &failure), ERR_NOT_A_DATABASE);
    assert_non_null(strstr(failure.text, "-lockstep"));
    /* An empty one is what a crash before the first transaction leaves. */
    sample_write_file(name, "", 0);
    ok(sidecar_open(&sidecar, path, 500, &failure));
    assert_false(read_state().has_lineage);
    ok(sidecar_join(sidecar, bytes(1), bytes(2), 0, &failure));
    assert_true(read_state().has_lineage);
    sidecar_free(sidecar);
    sample_sql(name, "PRAGMA user_version = 99");
    assert_int_equal(sidecar_open(&sidecar, path, 500, &failure), ERR_NOT_A_DATABASE);
    assert_non_null(strstr(failure.text, "later Lockstep"));
}

static void test_busy(void **unused)
{
    struct sample_holder holder;
    char name[300];

    (void)unused;
    open_new();
    ok(sidecar_join(sidecar, bytes(1), bytes(2), 0, &failure));
    snprintf(name, sizeof(name), "%s-lockstep", path);
    holder = sample_hold(name, "BEGIN IMMEDIATE");
    assert_int_equal(sidecar_set_fence(sidecar, &(struct fence){.token = 3}, &failure), ERR_BUSY);
    assert_true(read_state().fence.token == 0);
    sample_let_go(holder);
    ok(sidecar_set_fence(sidecar, &(struct fence){.token = 3}, &failure));
    sidecar_free(sidecar);
}

/* A process that is killed in the middle of a step: the step is done or not. */
static void test_killed_in_a_step(void **unused)
{
    struct sample_holder holder;
    char name[300];

    (void)unused;
    open_new();
    ok(sidecar_join(sidecar, bytes(1), bytes(2), 0, &failure));
    sidecar_free(sidecar);
    snprintf(name, sizeof(name), "%s-lockstep", path);
    holder = sample_hold(name, "PRAGMA cache_size = 1; BEGIN; UPDATE state SET fence_token = 77; "
                               "DELETE FROM receipt; UPDATE state SET lineage = zeroblob(60000)");
    sample_kill(holder);
    ok(sidecar_open(&sidecar, path, 500, &failure));
    assert_true(read_state().fence.token == 0);
    assert_memory_equal(read_state().lineage, bytes(1), LINEAGE_SIZE);
    sidecar_free(sidecar);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_crash_between_the_commits),
        cmocka_unit_test(test_push_after_a_crash_between_the_commits),
        cmocka_unit_test(test_finish_twice),
        cmocka_unit_test(test_receipts_are_bounded),
        cmocka_unit_test(test_former_layout),
        cmocka_unit_test(test_list_versions),
        cmocka_unit_test(test_fence_is_checked_again_at_the_commit),
        cmocka_unit_test(test_pending_and_incoming),
        cmocka_unit_test(test_rebuilt),
        cmocka_unit_test(test_base_hashes),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_busy),
        cmocka_unit_test(test_killed_in_a_step),
    };

    return cmocka_run_group_tests(tests, sample_setup, sample_teardown);
}
