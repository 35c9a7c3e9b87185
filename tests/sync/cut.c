/*
 * A small sync whose link is cut at every byte of it, in both directions of the stream, as a dead
 * link or a kill would: what was sent behind the cut never comes, and both parties are gone.
 *
 * Then both databases are whole, with the content of before or of after; the replica was done only
 * if the origin's receipt had come whole (push), or its own commit was through (pull); and the same
 * command goes on to the end. That last part is tried once for each different state that cuts
 * leave, which is what the messages that came whole make of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/page/sample.h"
#include "tests/sync/duet.h"

/* One sync that is cut again and again, each time from the same files. */
struct scene {
    const char *name;
    enum duet_kind kind;
    const char *setup[2];  /* SQL for the origin, which is then pulled; NULL: no such file */
    const char *change[2]; /* then for each of them */
    int every_byte;        /* cut at each byte, too, not only killed between messages */
};

#define ROWS(n)                                                                                    \
    "CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE c(i) AS (VALUES(1) UNION ALL "       \
    "SELECT i + 1 FROM c WHERE i < " #n                                                            \
    ") INSERT INTO t SELECT i, 'some text of row ' || i FROM c;"
#define SMALL "PRAGMA page_size = 512; "

static const struct scene scenes[] = {
    {"pull, WAL",
     DUET_PULL,
     {SMALL "PRAGMA journal_mode = wal; " ROWS(12), ""},
     {"UPDATE t SET b = 'new' WHERE a = 3", NULL},
     1},
    {"pull, rollback",
     DUET_PULL,
     {SMALL ROWS(12), ""},
     {"DELETE FROM t WHERE a > 5; VACUUM;", NULL},
     0},
    {"first pull", DUET_PULL, {SMALL ROWS(12), NULL}, {NULL, NULL}, 1},
    {"push, WAL",
     DUET_PUSH,
     {SMALL "PRAGMA journal_mode = wal; " ROWS(12), ""},
     {NULL, "UPDATE t SET b = 'new' WHERE a = 3"},
     0},
    {"push, rollback",
     DUET_PUSH,
     {SMALL ROWS(12), ""},
     {NULL, "INSERT INTO t SELECT a + 60, 'more' FROM t"},
     1},
    {"first push", DUET_PUSH, {NULL, SMALL ROWS(12)}, {NULL, NULL}, 1},
};

/* What a cut leaves, as far as the next attempt can see it, apart from random ids. */
struct aftermath {
    int was_done;
    uint64_t contents[2];
    int partial; /* a first copy was begun */
    struct {
        int has_lineage, has_base, has_incoming, has_pending, has_intent;
        uint64_t version;
    } books[2];
};

/* Those that were seen in the scene at hand. */
static struct aftermath seen[64];
static size_t seen_count;

static const struct sync_options compressed = {.level = 3};

/* The files before the sync, and those that it is tried on. */
static char *still[2], *live[2];
static uint64_t contents[2], old_content;

static void make(const struct scene *scene)
{
    still[0] = duet_path("still-origin.db");
    still[1] = duet_path("still-replica.db");
    live[0] = duet_path("live-origin.db");
    live[1] = duet_path("live-replica.db");
    if (scene->setup[0] != NULL)
        sample_sql(still[0], scene->setup[0]);
    if (scene->setup[0] != NULL && scene->setup[1] != NULL)
        duet_expect(duet_sync(DUET_PULL, still[0], still[1], NULL), 0);
    else if (scene->setup[1] != NULL)
        sample_sql(still[1], scene->setup[1]);
    for (int side = 0; side < 2; side++)
        if (scene->change[side] != NULL)
            sample_sql(still[side], scene->change[side]);
    seen_count = 0;
    contents[0] = duet_content(still[0]);
    contents[1] = duet_content(still[1]);
    old_content = contents[scene->kind == DUET_PULL ? 1 : 0];
}

static void reset(void)
{
    duet_copy(still[0], live[0]);
    duet_copy(still[1], live[1]);
}

/* What must hold after a cut, and that the next attempt ends well. */
static void check_aftermath(const struct scene *scene, int was_done)
{
    const int receiver = scene->kind == DUET_PULL ? DUET_REPLICA : DUET_ORIGIN;
    const uint64_t new_content = contents[!receiver];
    uint64_t now = duet_content(live[receiver]);

    assert_true(duet_content(live[!receiver]) == new_content);
    assert_true(now == old_content || now == new_content);
    if (now != 0)
        duet_check_whole(live[receiver]);
    if (was_done)
        assert_true(now == new_content);
    duet_expect(duet_sync(scene->kind, live[0], live[1], NULL), 0);
    duet_check_equal(live[0], live[1]);
    assert_true(duet_content(live[receiver]) == new_content);
}

static int is_partial(int side)
{
    char path[300];

    snprintf(path, sizeof(path), "%s.lockstep-partial", live[side]);
    return access(path, F_OK) == 0;
}

/* Whether no cut of this scene left the files like this before. */
static int is_new(int was_done)
{
    struct aftermath now;

    memset(&now, 0, sizeof(now));
    now.was_done = was_done;
    now.partial = is_partial(0) + 2 * is_partial(1);
    for (int side = 0; side < 2; side++) {
        struct sidecar_state book = duet_book(live[side]);
        now.contents[side] = duet_content(live[side]);
        now.books[side].has_lineage = book.has_lineage;
        now.books[side].has_base = book.has_base;
        now.books[side].has_incoming = book.has_incoming;
        now.books[side].has_pending = book.has_pending;
        now.books[side].has_intent = book.has_intent;
        now.books[side].version = book.version;
    }
    for (size_t i = 0; i < seen_count; i++)
        if (memcmp(&seen[i], &now, sizeof(now)) == 0)
            return 0;
    assert_true(seen_count < sizeof(seen) / sizeof(seen[0]));
    seen[seen_count++] = now;
    return 1;
}

/* The link is cut so many bytes into what comes to this side. Returns whether the replica was done.
 */
static int cut_at(const struct scene *scene, enum duet_side side, uint64_t at)
{
    const struct duet_options options = {.kind = scene->kind,
                                         .origin = live[0],
                                         .replica = live[1],
                                         .sync = compressed,
                                         .is_cut = 1,
                                         .cut_side = side,
                                         .cut = at};
    struct duet_outcome outcome;

    reset();
    outcome = duet_run(&options);
    if (outcome.code != 0)
        duet_expect(outcome, ERR_NO_LINK);
    return outcome.code == 0;
}

static void test_every_byte(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
        const struct scene *scene = &scenes[i];
        if (!scene->every_byte)
            continue;
        struct duet_outcome whole;
        uint64_t len[2];
        make(scene);
        reset();
        whole = duet_sync(scene->kind, live[0], live[1], &compressed);
        duet_expect(whole, 0);
        len[DUET_ORIGIN] = whole.to_origin;
        len[DUET_REPLICA] = whole.to_replica;
        for (int side = 0; side < 2; side++) {
            uint64_t offsets = 0, done = 0;
            for (uint64_t at = 0; at < len[side]; at++, offsets++) {
                int was_done = cut_at(scene, (enum duet_side)side, at);
                /* Nothing but the last message, which is to the origin in a pull and to the replica
                 * in a push, may be missing. */
                if (was_done)
                    assert_true(scene->kind == DUET_PULL && side == DUET_ORIGIN);
                done += (uint64_t)was_done;
                if (is_new(was_done))
                    check_aftermath(scene, was_done);
            }
            print_message("%s, to the %s: cut at each of %d bytes, done at %d\n", scene->name,
                          side == DUET_ORIGIN ? "origin" : "replica", (int)offsets, (int)done);
            assert_true(offsets > 50);
        }
        print_message("%d states after it\n", (int)seen_count);
        assert_true(seen_count >= 2);
    }
}

/* ---- as kill -9 does it ---- */

/* Counts messages that are heard, of both sides, and ends the process at one of them. */
static int die_at(void *arg, enum duet_side to, struct message *message, struct buffer *before)
{
    int *left = arg;

    (void)to, (void)message, (void)before;
    if ((*left)-- == 0)
        _exit(7);
    return 0;
}

/* A process that syncs and is gone before the message of that number is heard, with whatever is
 * open then. Returns whether it got there. */
static int die_before(const struct scene *scene, int number)
{
    struct duet_options options = {.kind = scene->kind,
                                   .origin = live[0],
                                   .replica = live[1],
                                   .tamper = die_at,
                                   .arg = &number};
    int status;
    pid_t pid;

    reset();
    pid = fork();
    if (pid == 0)
        _exit(duet_run(&options).code == 0 ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 7));
    return WEXITSTATUS(status) == 7;
}

static void test_killed_between_messages(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
        int number = 0;
        make(&scenes[i]);
        while (die_before(&scenes[i], number)) {
            check_aftermath(&scenes[i], 0);
            number++;
        }
        check_aftermath(&scenes[i], 1);
        assert_true(number >= 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_killed_between_messages),
    };

    return cmocka_run_group_tests(tests, sample_setup, sample_teardown);
}
