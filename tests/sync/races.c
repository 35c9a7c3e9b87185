/* Others who write while a sync is under way, at the origin and here, and two pushes at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/page/sample.h"
#include "tests/sync/duet.h"

#define ROWS(n)                                                                                    \
    "CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL "       \
    "SELECT i + 1 FROM c WHERE i < " #n ") INSERT INTO t SELECT i, hex(randomblob(600)) FROM c;"

static const char *const modes[] = {"wal", "delete"};
static char *origin, *replica, *second;

/* Three copies in sync, the origin's of more than a thousand pages, so that it takes a sketch to
 * compare. */
static void make_three(const char *mode)
{
    char sql[400];

    origin = duet_path("origin.db");
    replica = duet_path("replica.db");
    second = duet_path("second.db");
    snprintf(sql, sizeof(sql), "PRAGMA page_size = 512; PRAGMA journal_mode = %s; %s", mode,
             ROWS(700));
    sample_sql(origin, sql);
    duet_expect(duet_sync(DUET_PULL, origin, replica, NULL), 0);
    duet_copy(replica, second);
}

static struct duet_options between(enum duet_kind kind)
{
    return (struct duet_options){.kind = kind, .origin = origin, .replica = replica};
}

/* What was committed at the origin before the pull asked is in it, or it is the snapshot of before:
 * never a mixture. */
static void test_writer_at_the_origin_during_a_pull(void **unused)
{
    static const enum message_type moments[] = {MESSAGE_PULL, MESSAGE_CELLS, MESSAGE_RECEIPT};
    static const enum message_type replica_moments[] = {MESSAGE_HELLO, MESSAGE_PAGES, MESSAGE_END};

    (void)unused;
    for (int i = 0; i < 12; i++) {
        struct duet_options options;
        struct duet_outcome outcome;
        struct duet duet;
        uint64_t before, after;
        make_three(modes[i % 2]);
        sample_sql(origin, "UPDATE t SET b = 'old' WHERE a % 9 = 0");
        before = duet_content(origin);
        options = between(DUET_PULL);
        duet_start(&duet, &options);
        if (i / 2 < 3)
            assert_true(duet_until(&duet, DUET_ORIGIN, moments[i / 2]));
        else
            assert_true(duet_until(&duet, DUET_REPLICA, replica_moments[i / 2 - 3]));
        sample_sql(origin, "UPDATE t SET b = 'new' WHERE a % 7 = 0; DELETE FROM t WHERE a > 600;");
        after = duet_content(origin);
        outcome = duet_finish(&duet);
        if (outcome.code != 0)
            print_error("moment %d, %s\n", i / 2, modes[i % 2]);
        duet_expect(outcome, 0);
        duet_check_whole(replica);
        assert_true(duet_content(replica) == before || duet_content(replica) == after);
        duet_expect(duet_sync(DUET_PULL, origin, replica, NULL), 0);
        duet_check_equal(origin, replica);
        assert_true(duet_content(replica) == after);
    }
}

/* A commit that leaves the content as it is makes nobody start anew for good. */
static void test_a_commit_without_change_during_a_pull(void **unused)
{
    struct duet_options options;
    struct duet duet;

    (void)unused;
    make_three("delete");
    sample_sql(origin, "UPDATE t SET b = 'old' WHERE a % 9 = 0");
    options = between(DUET_PULL);
    duet_start(&duet, &options);
    assert_true(duet_until(&duet, DUET_ORIGIN, MESSAGE_PULL));
    sample_sql(origin, "UPDATE t SET b = b");
    duet_expect(duet_finish(&duet), 0);
    duet_check_equal(origin, replica);
}

/* First copies, too, when what came so far is of the old content: the origin greets again in
 * rollback mode. */
static void test_writer_during_a_first_copy(void **unused)
{
    (void)unused;
    for (int i = 0; i < 4; i++) {
        struct duet_options options;
        struct duet duet;
        make_three(modes[i % 2]);
        replica = duet_path("replica.db");
        options = between(DUET_PULL);
        duet_start(&duet, &options);
        if (i < 2)
            assert_true(duet_until(&duet, DUET_ORIGIN, MESSAGE_PULL));
        else
            assert_true(duet_until(&duet, DUET_REPLICA, MESSAGE_PAGES));
        sample_sql(origin, i < 2 ? "UPDATE t SET b = b" : "UPDATE t SET b = 'x'");
        duet_expect(duet_finish(&duet), 0);
        duet_check_whole(replica);
        duet_expect(duet_sync(DUET_PULL, origin, replica, NULL), 0);
        duet_check_equal(origin, replica);
    }
}

/* Stale already, or to be tried again because it moved just now, which transfer.c does; then it is
 * stale. */
static void expect_refused(struct duet_outcome outcome)
{
    if (outcome.code != ERR_MOVED)
        duet_expect(outcome, ERR_STALE_BASE);
}

/* Somebody commits at the origin at any time before the push does: refused, and their change
 * stands. */
static void test_writer_at_the_origin_during_a_push(void **unused)
{
    static const enum message_type moments[] = {MESSAGE_PUSH, MESSAGE_PAGES, MESSAGE_END};

    (void)unused;
    for (int i = 0; i < 6; i++) {
        struct duet_options options;
        struct duet duet;
        uint64_t theirs, mine;
        make_three(modes[i % 2]);
        sample_sql(replica, "UPDATE t SET b = 'mine' WHERE a % 9 = 0");
        mine = duet_content(replica);
        options = between(DUET_PUSH);
        duet_start(&duet, &options);
        assert_true(duet_until(&duet, DUET_ORIGIN, moments[i / 2]));
        sample_sql(origin, "UPDATE t SET b = 'theirs' WHERE a = 8");
        theirs = duet_content(origin);
        expect_refused(duet_finish(&duet));
        duet_check_whole(origin);
        assert_true(duet_content(origin) == theirs);
        assert_true(duet_content(replica) == mine);
        assert_false(duet_book(origin).has_intent);
        /* And again, later: still stale. */
        duet_expect(duet_sync(DUET_PUSH, origin, replica, NULL), ERR_STALE_BASE);
        assert_true(duet_content(origin) == theirs);
    }
}

/* A commit at the origin that changes no content stands in nobody's way. */
static void test_a_commit_without_change_during_a_push(void **unused)
{
    (void)unused;
    for (int i = 0; i < 4; i++) {
        struct duet_options options;
        struct duet duet;
        make_three(modes[i % 2]);
        sample_sql(replica, "UPDATE t SET b = 'mine' WHERE a % 9 = 0");
        options = between(DUET_PUSH);
        duet_start(&duet, &options);
        assert_true(duet_until(&duet, DUET_ORIGIN, i < 2 ? MESSAGE_PUSH : MESSAGE_END));
        sample_sql(origin, "UPDATE t SET b = b WHERE a = 8");
        duet_expect(duet_finish(&duet), 0);
        duet_check_equal(origin, replica);
    }
}

/* Somebody writes to the local copy between the scan and the apply of a pull: their change is not
 * lost. */
static void test_writer_here_during_a_pull(void **unused)
{
    (void)unused;
    for (int i = 0; i < 4; i++) {
        struct duet_options options;
        struct duet duet;
        uint64_t content;
        make_three(modes[i % 2]);
        sample_sql(origin, "UPDATE t SET b = 'old' WHERE a % 9 = 0");
        options = between(DUET_PULL);
        duet_start(&duet, &options);
        if (i < 2)
            assert_true(duet_until(&duet, DUET_ORIGIN, MESSAGE_PULL));
        else
            assert_true(duet_until(&duet, DUET_REPLICA, MESSAGE_END));
        sample_sql(replica, "UPDATE t SET b = 'mine' WHERE a = 5");
        content = duet_content(replica);
        duet_expect(duet_finish(&duet), ERR_MOVED);
        assert_true(duet_content(replica) == content);
        duet_check_whole(replica);
        duet_expect(duet_sync(DUET_PULL, origin, replica, NULL), ERR_UNPUSHED);
        assert_true(duet_content(replica) == content);
    }
}

/* Somebody writes to the local copy during a push: what is pushed is what was there when it began,
 * or nothing. */
static void test_writer_here_during_a_push(void **unused)
{
    static const enum message_type moments[] = {MESSAGE_HELLO, MESSAGE_HASHES, MESSAGE_RECEIPT};

    (void)unused;
    for (int i = 0; i < 6; i++) {
        struct duet_options options;
        struct duet_outcome outcome;
        struct duet duet;
        uint64_t before, pushed, after;
        make_three(modes[i % 2]);
        before = duet_content(origin);
        sample_sql(replica, "UPDATE t SET b = 'mine' WHERE a % 9 = 0");
        pushed = duet_content(replica);
        options = between(DUET_PUSH);
        duet_start(&duet, &options);
        duet_until(&duet, DUET_REPLICA, moments[i / 2]);
        sample_sql(replica, "UPDATE t SET b = 'later' WHERE a = 5");
        after = duet_content(replica);
        outcome = duet_finish(&duet);
        duet_check_whole(origin);
        if (outcome.code == 0) {
            assert_true(duet_content(origin) == pushed);
        } else {
            duet_expect(outcome, ERR_MOVED);
            assert_true(duet_content(origin) == before);
        }
        assert_true(duet_content(replica) == after);
        duet_expect(duet_sync(DUET_PUSH, origin, replica, NULL), 0);
        duet_check_equal(origin, replica);
        assert_true(duet_content(origin) == after);
    }
}

/* Two pushes, the second begun before the first is through: one is taken, the other is refused,
 * whoever is first. */
static void test_two_pushes(void **unused)
{
    static const enum message_type moments[] = {MESSAGE_PUSH, MESSAGE_PAGES, MESSAGE_END};

    (void)unused;
    for (int i = 0; i < 18; i++) {
        struct duet_options options;
        struct duet first, other;
        uint64_t content;
        make_three(modes[i % 2]);
        sample_sql(replica, "UPDATE t SET b = 'one' WHERE a % 9 = 0");
        sample_sql(second, "UPDATE t SET b = 'two' WHERE a % 7 = 0");
        content = duet_content(second);
        options = between(DUET_PUSH);
        duet_start(&first, &options);
        assert_true(duet_until(&first, DUET_ORIGIN, moments[i / 6]));
        options.replica = second;
        duet_start(&other, &options);
        assert_true(duet_until(&other, DUET_ORIGIN, moments[i / 2 % 3]));
        duet_expect(duet_finish(&other), 0);
        expect_refused(duet_finish(&first));
        duet_expect(duet_sync(DUET_PUSH, origin, replica, NULL), ERR_STALE_BASE);
        duet_check_equal(origin, second);
        assert_true(duet_content(origin) == content);
    }
}

/* Two first pushes to where nothing is. */
static void test_two_first_pushes(void **unused)
{
    struct duet_options options = {.kind = DUET_PUSH};
    struct duet first;
    struct duet_outcome outcome;

    (void)unused;
    make_three("wal");
    origin = duet_path("nothing.db");
    replica = duet_path("one.db");
    second = duet_path("two.db");
    sample_sql(replica, ROWS(50));
    sample_sql(second, ROWS(40));
    options.origin = origin;
    options.replica = replica;
    duet_start(&first, &options);
    assert_true(duet_until(&first, DUET_ORIGIN, MESSAGE_PUSH));
    options.replica = second;
    duet_expect(duet_run(&options), 0);
    outcome = duet_finish(&first);
    assert_true(outcome.code == ERR_MOVED || outcome.code == ERR_STALE_BASE ||
                outcome.code == ERR_FOREIGN_LINEAGE);
    duet_check_equal(origin, second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writer_at_the_origin_during_a_pull),
        cmocka_unit_test(test_a_commit_without_change_during_a_pull),
        cmocka_unit_test(test_writer_during_a_first_copy),
        cmocka_unit_test(test_writer_at_the_origin_during_a_push),
        cmocka_unit_test(test_a_commit_without_change_during_a_push),
        cmocka_unit_test(test_writer_here_during_a_pull),
        cmocka_unit_test(test_writer_here_during_a_push),
        cmocka_unit_test(test_two_pushes),
        cmocka_unit_test(test_two_first_pushes),
    };

    return cmocka_run_group_tests(tests, sample_setup, sample_teardown);
}
