/* What may replace what: lineages at first contact, bases, fences, repeated pushes, permissions,
 * page sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/page/sample.h"
#include "tests/sync/duet.h"

#define ROWS(value)                                                                                \
    "CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL "       \
    "SELECT i + 1 FROM c WHERE i < 60) "                                                           \
    "INSERT INTO t SELECT i, " value " || hex(zeroblob(i * 3)) FROM c;"

/* What a side is before first contact. */
enum content { MISSING, NO_BYTES, NO_TABLES, ONE, TWO };
enum lineage { NONE, A, B };

static char *origin, *replica;

static void make_content(const char *path, enum content content, const char *mode)
{
    char sql[600];

    snprintf(sql, sizeof(sql), "PRAGMA page_size = 1024; PRAGMA journal_mode = %s; %s", mode,
             content == NO_TABLES ? "CREATE TABLE t(a); DROP TABLE t;"
             : content == ONE     ? ROWS("'one'")
                                  : ROWS("'two'"));
    if (content == NO_BYTES)
        sample_write_file(path, "", 0);
    else if (content != MISSING)
        sample_sql(path, sql);
}

static void make_lineage(const char *path, enum lineage lineage)
{
    uint8_t id[LINEAGE_SIZE], key[HASH_KEY_SIZE];
    struct sidecar *sidecar;

    if (lineage == NONE)
        return;
    memset(id, (int)lineage, sizeof(id));
    memset(key, 16 + (int)lineage, sizeof(key));
    ok(sidecar_open(&sidecar, path, 1000, &failure));
    ok(sidecar_join(sidecar, id, key, 0, &failure));
    sidecar_free(sidecar);
}

/* All that a refusal must leave alone: both contents, and of the bookkeeping what guards hang on.
 */
struct memory {
    uint64_t content[2];
    struct sidecar_state book[2];
};

static struct memory remember(void)
{
    struct memory memory = {{duet_content(origin), duet_content(replica)},
                            {duet_book(origin), duet_book(replica)}};

    return memory;
}

static void check_unchanged(const struct memory *before)
{
    struct memory now = remember();

    for (int side = 0; side < 2; side++) {
        assert_true(now.content[side] == before->content[side]);
        assert_int_equal(now.book[side].has_lineage, before->book[side].has_lineage);
        assert_memory_equal(now.book[side].lineage, before->book[side].lineage, LINEAGE_SIZE);
        assert_memory_equal(now.book[side].base_root, before->book[side].base_root, ROOT_SIZE);
        assert_true(now.book[side].version == before->book[side].version);
        assert_true(now.book[side].fence.token == before->book[side].fence.token);
        assert_int_equal(now.book[side].has_intent, 0);
        if (before->content[side] == 0)
            assert_int_not_equal(access(side == 0 ? origin : replica, F_OK), 0);
    }
}

/* ---- first contact ---- */

static const struct sync_options plain, adopt = {.adopt = 1}, force = {.force_reset = 1},
                                        rsync_form = {.any_base = 1}, discard = {.discard = 1};

static const struct contact {
    enum duet_kind kind;
    enum content origin;
    enum lineage origin_lineage;
    enum content replica;
    enum lineage replica_lineage;
    const struct sync_options *options;
    int expected;
    enum lineage lineage; /* that both have afterwards; NONE: a new one */
} contacts[] = {
    /* Neither has a lineage. */
    {DUET_PUSH, MISSING, NONE, ONE, NONE, &plain, 0, NONE},
    {DUET_PUSH, NO_BYTES, NONE, ONE, NONE, &plain, 0, NONE},
    {DUET_PUSH, NO_TABLES, NONE, ONE, NONE, &plain, 0, NONE},
    {DUET_PUSH, ONE, NONE, ONE, NONE, &plain, 0, NONE},
    {DUET_PUSH, TWO, NONE, ONE, NONE, &plain, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PUSH, TWO, NONE, ONE, NONE, &adopt, 0, NONE},
    {DUET_PUSH, TWO, NONE, ONE, NONE, &rsync_form, 0, NONE},
    {DUET_PUSH, TWO, NONE, ONE, NONE, &force, 0, NONE},
    {DUET_PULL, ONE, NONE, MISSING, NONE, &plain, 0, NONE},
    {DUET_PULL, ONE, NONE, NO_BYTES, NONE, &plain, 0, NONE},
    {DUET_PULL, ONE, NONE, NO_TABLES, NONE, &plain, 0, NONE},
    {DUET_PULL, ONE, NONE, ONE, NONE, &plain, 0, NONE},
    {DUET_PULL, ONE, NONE, TWO, NONE, &plain, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PULL, ONE, NONE, TWO, NONE, &discard, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PULL, ONE, NONE, TWO, NONE, &adopt, 0, NONE},
    {DUET_PULL, ONE, NONE, TWO, NONE, &rsync_form, 0, NONE},
    {DUET_PULL, ONE, NONE, TWO, NONE, &force, 0, NONE},
    /* The sender has one. */
    {DUET_PUSH, MISSING, NONE, ONE, A, &plain, 0, A},
    {DUET_PUSH, NO_BYTES, NONE, ONE, A, &plain, 0, A},
    {DUET_PUSH, NO_TABLES, NONE, ONE, A, &plain, 0, A},
    {DUET_PUSH, ONE, NONE, ONE, A, &plain, 0, A},
    {DUET_PUSH, TWO, NONE, ONE, A, &plain, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PUSH, TWO, NONE, ONE, A, &adopt, 0, A},
    {DUET_PUSH, TWO, NONE, ONE, A, &rsync_form, 0, A},
    {DUET_PULL, ONE, A, MISSING, NONE, &plain, 0, A},
    {DUET_PULL, ONE, A, NO_BYTES, NONE, &plain, 0, A},
    {DUET_PULL, ONE, A, NO_TABLES, NONE, &plain, 0, A},
    {DUET_PULL, ONE, A, ONE, NONE, &plain, 0, A},
    {DUET_PULL, ONE, A, TWO, NONE, &plain, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PULL, ONE, A, TWO, NONE, &adopt, 0, A},
    {DUET_PULL, ONE, A, TWO, NONE, &rsync_form, 0, A},
    /* The receiver has one. */
    {DUET_PUSH, MISSING, A, ONE, NONE, &plain, 0, A},
    {DUET_PUSH, NO_BYTES, A, ONE, NONE, &plain, 0, A},
    {DUET_PUSH, NO_TABLES, A, ONE, NONE, &plain, 0, A},
    {DUET_PUSH, ONE, A, ONE, NONE, &plain, 0, A},
    {DUET_PUSH, TWO, A, ONE, NONE, &plain, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PUSH, TWO, A, ONE, NONE, &adopt, 0, A},
    {DUET_PULL, ONE, NONE, MISSING, A, &plain, 0, NONE},
    {DUET_PULL, ONE, NONE, TWO, A, &plain, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PULL, ONE, NONE, TWO, A, &adopt, 0, NONE},
    /* Both have the same, and no base. */
    {DUET_PUSH, TWO, A, ONE, A, &plain, ERR_STALE_BASE, NONE},
    {DUET_PUSH, TWO, A, ONE, A, &adopt, ERR_STALE_BASE, NONE},
    {DUET_PUSH, TWO, A, ONE, A, &rsync_form, 0, A},
    {DUET_PUSH, TWO, A, ONE, A, &force, 0, A},
    {DUET_PUSH, ONE, A, ONE, A, &plain, 0, A},
    {DUET_PUSH, MISSING, A, ONE, A, &plain, ERR_STALE_BASE, NONE},
    {DUET_PUSH, MISSING, A, ONE, A, &force, 0, A},
    {DUET_PULL, ONE, A, TWO, A, &plain, ERR_UNPUSHED, NONE},
    {DUET_PULL, ONE, A, TWO, A, &discard, 0, A},
    {DUET_PULL, ONE, A, TWO, A, &rsync_form, 0, A},
    {DUET_PULL, ONE, A, ONE, A, &plain, 0, A},
    {DUET_PULL, ONE, A, MISSING, A, &plain, 0, A},
    /* Two lineages: the sqlite3_rsync form is guarded, too. */
    {DUET_PUSH, TWO, B, ONE, A, &plain, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PUSH, TWO, B, ONE, A, &adopt, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PUSH, TWO, B, ONE, A, &rsync_form, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PUSH, TWO, B, ONE, A, &force, 0, B},
    {DUET_PUSH, MISSING, B, ONE, A, &plain, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PULL, TWO, B, ONE, A, &plain, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PULL, TWO, B, ONE, A, &adopt, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PULL, TWO, B, ONE, A, &discard, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PULL, TWO, B, ONE, A, &rsync_form, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PULL, TWO, B, ONE, A, &force, 0, B},
    {DUET_PULL, TWO, B, MISSING, A, &plain, 0, B},
    /* An empty one over a full one. */
    {DUET_PUSH, TWO, NONE, NO_TABLES, NONE, &plain, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PUSH, TWO, NONE, NO_TABLES, NONE, &adopt, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PUSH, TWO, NONE, NO_TABLES, NONE, &rsync_form, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PUSH, TWO, A, NO_TABLES, A, &rsync_form, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PUSH, TWO, A, NO_TABLES, A, &force, 0, A},
    {DUET_PUSH, TWO, A, NO_BYTES, A, &rsync_form, ERR_NO_DATABASE, NONE},
    {DUET_PUSH, TWO, A, MISSING, A, &force, ERR_NO_DATABASE, NONE},
    {DUET_PULL, NO_TABLES, NONE, TWO, NONE, &plain, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PULL, NO_TABLES, NONE, TWO, NONE, &adopt, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PULL, NO_TABLES, NONE, TWO, NONE, &rsync_form, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PULL, NO_TABLES, A, TWO, A, &discard, ERR_FOREIGN_LINEAGE, NONE},
    {DUET_PULL, NO_TABLES, A, TWO, A, &force, 0, A},
    {DUET_PULL, MISSING, A, TWO, A, &force, ERR_NO_DATABASE, NONE},
    {DUET_PULL, NO_BYTES, A, TWO, A, &force, ERR_NO_DATABASE, NONE},
    {DUET_PULL, MISSING, NONE, MISSING, NONE, &plain, ERR_NO_DATABASE, NONE},
    {DUET_PULL, NO_TABLES, NONE, MISSING, NONE, &plain, 0, NONE},
};

static void check_contact(const struct contact *contact, const char *mode)
{
    struct sidecar_state books[2];
    struct duet_outcome outcome;
    struct memory before;
    uint8_t id[LINEAGE_SIZE];

    origin = duet_path("origin.db");
    replica = duet_path("replica.db");
    make_content(origin, contact->origin, mode);
    make_lineage(origin, contact->origin_lineage);
    make_content(replica, contact->replica, mode);
    make_lineage(replica, contact->replica_lineage);
    before = remember();
    outcome = duet_sync(contact->kind, origin, replica, contact->options);
    if (outcome.code != contact->expected)
        print_error("row %d, %s\n", (int)(contact - contacts), mode);
    duet_expect(outcome, contact->expected);
    if (contact->expected != 0) {
        check_unchanged(&before);
        return;
    }
    duet_check_equal(origin, replica);
    assert_true(duet_content(origin) == before.content[contact->kind == DUET_PULL ? 0 : 1]);
    books[0] = duet_book(origin);
    books[1] = duet_book(replica);
    assert_true(books[0].has_lineage && books[1].has_lineage);
    assert_memory_equal(books[0].lineage, books[1].lineage, LINEAGE_SIZE);
    assert_memory_equal(books[0].hash_key, books[1].hash_key, HASH_KEY_SIZE);
    memset(id, (int)contact->lineage, sizeof(id));
    if (contact->lineage != NONE)
        assert_memory_equal(books[0].lineage, id, LINEAGE_SIZE);
    assert_true(books[1].has_base);
    assert_memory_equal(books[1].base_root, outcome.result.geometry.root, ROOT_SIZE);
    /* And from then on they belong together. */
    sample_sql(replica, "CREATE TABLE later(a); INSERT INTO later VALUES('x');");
    duet_expect(duet_sync(DUET_PUSH, origin, replica, NULL), 0);
    duet_check_equal(origin, replica);
}

static void test_first_contact(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof(contacts) / sizeof(contacts[0]); i++) {
        check_contact(&contacts[i], "wal");
        check_contact(&contacts[i], "delete");
    }
}

/* A refusal says what helps. */
static void test_refusals_name_the_way_out(void **unused)
{
    static const struct {
        int row_options; /* 1: lineages A and B */
        enum content origin, replica;
        const char *word;
    } rows[] = {{0, TWO, ONE, "--adopt"},
                {1, TWO, ONE, "--force-reset"},
                {0, TWO, NO_TABLES, "--force-reset"}};

    (void)unused;
    for (int kind = DUET_PULL; kind <= DUET_PUSH; kind++) {
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            struct duet_outcome outcome;
            origin = duet_path("origin.db");
            replica = duet_path("replica.db");
            make_content(origin, kind == DUET_PULL ? rows[i].replica : rows[i].origin, "wal");
            make_content(replica, kind == DUET_PULL ? rows[i].origin : rows[i].replica, "wal");
            make_lineage(origin, rows[i].row_options ? A : NONE);
            make_lineage(replica, rows[i].row_options ? B : NONE);
            outcome = duet_sync((enum duet_kind)kind, origin, replica, NULL);
            duet_expect(outcome, ERR_FOREIGN_LINEAGE);
            assert_non_null(strstr(outcome.error.text, rows[i].word));
        }
    }
}

/* An adopting pull that died between joining the lineage and its commit: the same command goes on.
 */
static void test_adopt_goes_on_after_a_crash(void **unused)
{
    static const struct sync_options *const ways[] = {&adopt, &force};

    (void)unused;
    for (int i = 0; i < 2; i++) {
        origin = duet_path("origin.db");
        replica = duet_path("replica.db");
        make_content(origin, ONE, "wal");
        make_lineage(origin, A);
        make_content(replica, TWO, "wal");
        make_lineage(replica, A); /* what the first step of the commit leaves, and no base */
        duet_expect(duet_sync(DUET_PULL, origin, replica, NULL), ERR_UNPUSHED);
        duet_expect(duet_sync(DUET_PULL, origin, replica, ways[i]), 0);
        duet_check_equal(origin, replica);
    }
}

/* ---- bases ---- */

/* Origin and replica in sync, and a second replica beside them. */
static char *second;

static void make_three(const char *mode)
{
    origin = duet_path("origin.db");
    replica = duet_path("replica.db");
    second = duet_path("second.db");
    make_content(origin, ONE, mode);
    duet_expect(duet_sync(DUET_PULL, origin, replica, NULL), 0);
    duet_expect(duet_sync(DUET_PULL, origin, second, NULL), 0);
}

static void test_stale_base(void **unused)
{
    static const char *const modes[] = {"wal", "delete"};

    (void)unused;
    for (int i = 0; i < 2; i++) {
        struct duet_outcome first, outcome;
        struct memory before;
        make_three(modes[i]);
        sample_sql(replica, "UPDATE t SET b = 'mine' WHERE a = 7");
        sample_sql(second, "UPDATE t SET b = 'theirs' WHERE a = 9");
        first = duet_sync(DUET_PUSH, origin, second, NULL);
        duet_expect(first, 0);
        before = remember();
        outcome = duet_sync(DUET_PUSH, origin, replica, NULL);
        duet_expect(outcome, ERR_STALE_BASE);
        assert_non_null(strstr(outcome.error.text, "(version 2 was pushed by "));
        assert_non_null(strstr(outcome.error.text, "lockstep resolve --take-origin"));
        check_unchanged(&before);
        /* The local change is not lost by a pull. */
        duet_expect(duet_sync(DUET_PULL, origin, replica, NULL), ERR_UNPUSHED);
        check_unchanged(&before);
        duet_expect(duet_sync(DUET_PULL, origin, replica, &discard), 0);
        duet_check_equal(origin, replica);
        sample_sql(replica, "UPDATE t SET b = 'mine' WHERE a = 7");
        outcome = duet_sync(DUET_PUSH, origin, replica, NULL);
        duet_expect(outcome, 0);
        assert_true(outcome.result.version == first.result.version + 1);
        duet_check_equal(origin, replica);
    }
}

/* A change at the origin that did not come through Lockstep counts like any other. */
static void test_stale_base_by_a_plain_writer(void **unused)
{
    struct memory before;

    (void)unused;
    make_three("wal");
    sample_sql(origin, "INSERT INTO t VALUES(100, 'plain')");
    sample_sql(replica, "INSERT INTO t VALUES(101, 'mine')");
    before = remember();
    duet_expect(duet_sync(DUET_PUSH, origin, replica, NULL), ERR_STALE_BASE);
    check_unchanged(&before);
    duet_expect(duet_sync(DUET_PUSH, origin, replica, &rsync_form), 0);
    duet_check_equal(origin, replica);
    assert_int_equal(sample_number(origin, "SELECT count(*) FROM t WHERE a = 100"), 0);
}

/* ---- repeated pushes ---- */

static int lose_receipt(void *arg, enum duet_side to, struct message *message,
                        struct buffer *before)
{
    (void)arg, (void)before;
    return to == DUET_REPLICA && message->type == MESSAGE_RECEIPT;
}

static void test_same_push_same_receipt(void **unused)
{
    struct duet_options options = {.kind = DUET_PUSH, .tamper = lose_receipt};
    struct sidecar_state before, after;
    struct duet_outcome outcome;

    (void)unused;
    make_three("wal");
    sample_sql(replica, "INSERT INTO t VALUES(101, 'mine')");
    options.origin = origin;
    options.replica = replica;
    duet_expect(duet_run(&options), ERR_NO_LINK);
    before = duet_book(origin);
    assert_true(duet_book(replica).has_pending);
    /* Somebody else is first with the next one. */
    duet_expect(duet_sync(DUET_PULL, origin, second, NULL), 0);
    sample_sql(second, "INSERT INTO t VALUES(102, 'theirs')");
    duet_expect(duet_sync(DUET_PUSH, origin, second, NULL), 0);
    /* The repeated push changes nothing any more, and says what it had done. */
    outcome = duet_sync(DUET_PUSH, origin, replica, NULL);
    duet_expect(outcome, 0);
    assert_true(outcome.result.version == before.version);
    after = duet_book(replica);
    assert_false(after.has_pending);
    assert_memory_equal(after.base_root, before.root, ROOT_SIZE);
    duet_check_equal(origin, second);
    assert_int_equal(sample_number(origin, "SELECT count(*) FROM t WHERE a IN (101, 102)"), 2);
    duet_expect(duet_sync(DUET_PULL, origin, replica, NULL), 0);
    duet_check_equal(origin, replica);
}

/* A pull after a lost receipt finds that both have the same. */
static void test_pull_after_a_lost_receipt(void **unused)
{
    struct duet_options options = {.kind = DUET_PUSH, .tamper = lose_receipt};

    (void)unused;
    make_three("delete");
    sample_sql(replica, "INSERT INTO t VALUES(101, 'mine')");
    options.origin = origin;
    options.replica = replica;
    duet_expect(duet_run(&options), ERR_NO_LINK);
    duet_expect(duet_sync(DUET_PULL, origin, replica, NULL), 0);
    assert_false(duet_book(replica).has_pending);
    duet_check_equal(origin, replica);
}

/* ---- fences ---- */

static struct sync_options with_fence(uint64_t token, int lease)
{
    struct sync_options options = {.fence = {.token = token}};

    memset(options.fence.lease_id, lease, sizeof(options.fence.lease_id));
    return options;
}

static void test_fences(void **unused)
{
    static const struct {
        uint64_t seen;
        int seen_lease;
        uint64_t token;
        int lease;
        int expected;
    } rows[] = {
        {0, 0, 0, 0, 0},          {0, 0, 1, 1, 0},
        {5, 1, 5, 1, 0},          {5, 1, 6, 2, 0},
        {5, 1, 6, 1, 0},          {5, 1, 4, 1, ERR_FENCED},
        {5, 1, 5, 2, ERR_FENCED}, {5, 1, 0, 0, ERR_FENCED},
        {5, 1, 1, 1, ERR_FENCED}, {1ull << 53, 1, (1ull << 53) - 1, 1, ERR_FENCED},
    };

    (void)unused;
    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        const size_t row = i / 2;
        const int changes = i % 2 == 0;
        struct sync_options options = with_fence(rows[row].seen, rows[row].seen_lease);
        struct memory before;
        make_three("wal");
        /* A pull stores the fence before it reads. */
        duet_expect(duet_sync(DUET_PULL, origin, replica, &options), 0);
        assert_true(duet_book(origin).fence.token == rows[row].seen);
        if (changes)
            sample_sql(replica, "INSERT INTO t VALUES(101, 'mine')");
        before = remember();
        options = with_fence(rows[row].token, rows[row].lease);
        duet_expect(duet_sync(DUET_PUSH, origin, replica, &options), rows[row].expected);
        if (rows[row].expected != 0) {
            check_unchanged(&before);
            continue;
        }
        duet_check_equal(origin, replica);
        /* What was accepted is what was seen last, whether anything changed or not. */
        assert_true(duet_book(origin).fence.token == rows[row].token);
        if (rows[row].token > 1) {
            options = with_fence(rows[row].token - 1, 9);
            duet_expect(duet_sync(DUET_PULL, origin, replica, &options), ERR_FENCED);
        }
    }
}

/* A fence that comes while an older holder's push is under way: the push is refused at its end. */
static void test_fence_during_a_push(void **unused)
{
    struct sync_options older = with_fence(5, 1), newer = with_fence(6, 2);
    struct duet_options options = {.kind = DUET_PUSH};
    struct duet_outcome outcome;
    struct duet push;
    uint64_t content;

    (void)unused;
    make_three("wal");
    content = duet_content(origin);
    sample_sql(replica, "INSERT INTO t VALUES(101, 'mine')");
    options.origin = origin;
    options.replica = replica;
    options.sync = older;
    duet_start(&push, &options);
    assert_true(duet_until(&push, DUET_ORIGIN, MESSAGE_END));
    duet_expect(duet_sync(DUET_PULL, origin, second, &newer), 0);
    outcome = duet_finish(&push);
    duet_expect(outcome, ERR_FENCED);
    assert_true(duet_content(origin) == content);
    assert_true(duet_book(origin).fence.token == 6);
    duet_check_whole(origin);
}

/* ---- permissions and modes ---- */

static void test_permissions(void **unused)
{
    struct sync_options fenced = with_fence(3, 1);
    struct duet_options options = {.kind = DUET_PUSH, .pull_only = 1};

    (void)unused;
    make_three("wal");
    sample_sql(replica, "INSERT INTO t VALUES(101, 'mine')");
    options.origin = origin;
    options.replica = replica;
    duet_expect(duet_run(&options), ERR_NOT_ALLOWED);
    options = (struct duet_options){
        .kind = DUET_PULL, .origin = origin, .replica = second, .push_only = 1};
    duet_expect(duet_run(&options), ERR_NOT_ALLOWED);
    options = (struct duet_options){
        .kind = DUET_PULL, .origin = origin, .replica = second, .sync = fenced, .pull_only = 1};
    duet_expect(duet_run(&options), ERR_NOT_ALLOWED);
    assert_true(duet_book(origin).fence.token == 0);
}

/* A replica that does not repeat the early guards meets those of the origin. */
static int claim_permission(void *arg, enum duet_side to, struct message *message,
                            struct buffer *before)
{
    (void)arg, (void)before;
    if (to == DUET_REPLICA && message->type == MESSAGE_HELLO)
        message->hello.flags |= HELLO_MAY_PULL | HELLO_MAY_PUSH;
    return 0;
}

static void test_origin_checks_permission_itself(void **unused)
{
    struct duet_options options = {.kind = DUET_PUSH, .pull_only = 1, .tamper = claim_permission};
    struct memory before;

    (void)unused;
    make_three("wal");
    sample_sql(replica, "INSERT INTO t VALUES(101, 'mine')");
    before = remember();
    options.origin = origin;
    options.replica = replica;
    duet_expect(duet_run(&options), ERR_NOT_ALLOWED);
    check_unchanged(&before);
    options = (struct duet_options){.kind = DUET_PULL,
                                    .origin = origin,
                                    .replica = second,
                                    .push_only = 1,
                                    .tamper = claim_permission};
    sample_sql(origin, "DELETE FROM t WHERE a = 3");
    duet_expect(duet_run(&options), ERR_NOT_ALLOWED);
}

/* What a replica that guards nothing says in its PUSH. */
enum unguarded {
    FOREIGN,
    FOREIGN_ANY_BASE,
    EMPTY,
    OLD_BASE,
    OLD_BASE_DIRECT,
    NO_FENCE,
    OLD_FENCE,
    WAL_ONLY
};

static int forge_push(void *arg, enum duet_side to, struct message *message, struct buffer *before)
{
    struct message_push *push = &message->push;

    (void)before;
    if (to != DUET_ORIGIN || message->type != MESSAGE_PUSH)
        return 0;
    switch (*(const enum unguarded *)arg) {
    case FOREIGN_ANY_BASE:
        push->flags |= SYNC_ANY_BASE | SYNC_ADOPT;
        push->lineage[0] ^= 1;
        break;
    case FOREIGN:
        push->lineage[0] ^= 1;
        break;
    case EMPTY:
        push->flags |= SYNC_EMPTY | SYNC_ANY_BASE;
        break;
    case OLD_BASE:
        push->flags &= ~SYNC_DIRECT;
        push->base_root[0] ^= 1;
        break;
    case OLD_BASE_DIRECT:
        push->flags |= SYNC_DIRECT | SYNC_ANY_BASE;
        push->base_root[0] ^= 1;
        break;
    case NO_FENCE:
        push->fence.token = 0;
        break;
    case OLD_FENCE:
        push->fence.token = 6;
        break;
    case WAL_ONLY:
        push->flags |= SYNC_WAL_ONLY;
        break;
    }
    return 0;
}

static void test_origin_guards_by_itself(void **unused)
{
    static const int expected[] = {
        ERR_FOREIGN_LINEAGE, ERR_FOREIGN_LINEAGE, ERR_FOREIGN_LINEAGE, ERR_STALE_BASE,
        ERR_STALE_BASE,      ERR_FENCED,          ERR_FENCED,          ERR_USAGE};

    (void)unused;
    for (enum unguarded i = FOREIGN; i <= WAL_ONLY; i++) {
        struct sync_options fenced = with_fence(7, 0);
        struct duet_options options = {
            .kind = DUET_PUSH, .sync = fenced, .tamper = forge_push, .arg = &i};
        struct memory before;
        make_three("delete");
        duet_expect(duet_sync(DUET_PULL, origin, replica, &fenced), 0);
        sample_sql(replica, "INSERT INTO t VALUES(101, 'mine')");
        before = remember();
        options.origin = origin;
        options.replica = replica;
        duet_expect(duet_run(&options), expected[i]);
        check_unchanged(&before);
    }
}

static void test_wal_only(void **unused)
{
    static const struct sync_options wal_only = {.wal_only = 1};

    (void)unused;
    make_three("wal");
    duet_expect(duet_sync(DUET_PULL, origin, replica, &wal_only), 0);
    sample_sql(replica, "PRAGMA journal_mode = delete; INSERT INTO t VALUES(101, 'mine')");
    duet_expect(duet_sync(DUET_PUSH, origin, replica, &wal_only), ERR_USAGE);
    sample_sql(replica, "PRAGMA journal_mode = wal");
    sample_sql(origin, "PRAGMA journal_mode = delete");
    duet_expect(duet_sync(DUET_PUSH, origin, replica, &wal_only), ERR_USAGE);
    sample_sql(origin, "PRAGMA journal_mode = wal");
    duet_expect(duet_sync(DUET_PUSH, origin, replica, &wal_only), 0);
    duet_check_equal(origin, replica);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_contact),
        cmocka_unit_test(test_refusals_name_the_way_out),
        cmocka_unit_test(test_adopt_goes_on_after_a_crash),
        cmocka_unit_test(test_stale_base),
        cmocka_unit_test(test_stale_base_by_a_plain_writer),
        cmocka_unit_test(test_same_push_same_receipt),
        cmocka_unit_test(test_pull_after_a_lost_receipt),
        cmocka_unit_test(test_fences),
        cmocka_unit_test(test_fence_during_a_push),
        cmocka_unit_test(test_permissions),
        cmocka_unit_test(test_origin_checks_permission_itself),
        cmocka_unit_test(test_origin_guards_by_itself),
        cmocka_unit_test(test_wal_only),
    };

    return cmocka_run_group_tests(tests, sample_setup, sample_teardown);
}
