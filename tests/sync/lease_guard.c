/* An origin that was given the lock's URL: what the record must say for a push to be taken, when it
 * is asked, and that a refusal changes nothing. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/page/sample.h"
#include "tests/sync/duet.h"

#define OURS   "01010101010101010101010101010101"
#define OTHERS "02020202020202020202020202020202"
#define RECORD(state, token, lease)                                                                \
    "{\"instance_id\":\"job-7\",\"timestamp\":\"2026-11-21T20:04:06Z\",\"timeout\":60,\"v\":1,"    \
    "\"state\":\"" state "\",\"token\":" token ",\"lease_id\":\"" lease                            \
    "\",\"rev\":3,\"host\":\"h\",\"pid\":1}"

static char *origin, *replica, *lock, *lock_url;

/* An origin and a replica that has a change to push. */
static void make_two(void)
{
    static char url[4096];

    origin = duet_path("origin.db");
    replica = duet_path("replica.db");
    lock = duet_path("lock");
    snprintf(url, sizeof(url), "file://%s", lock);
    lock_url = url;
    sample_sql(origin, "PRAGMA journal_mode = wal; CREATE TABLE t(a INTEGER PRIMARY KEY, b); "
                       "INSERT INTO t VALUES(1, 'one')");
    duet_expect(duet_sync(DUET_PULL, origin, replica, NULL), 0);
    sample_sql(replica, "INSERT INTO t VALUES(2, 'two')");
    unlink(lock);
    rmdir(lock);
}

static void write_record(const char *record)
{
    sample_write_file(lock, record, (long)strlen(record));
}

/* A push with this token and the lease id OURS. */
static struct duet_options push_with(uint64_t token)
{
    struct duet_options options = {
        .kind = DUET_PUSH, .origin = origin, .replica = replica, .lock_url = lock_url};

    options.sync.fence.token = token;
    memset(options.sync.fence.lease_id, token != 0, sizeof(options.sync.fence.lease_id));
    return options;
}

static void test_records(void **unused)
{
    static const struct {
        const char *record; /* NULL: none */
        uint64_t token;
        int expected;
        const char *text;
    } rows[] = {
        {RECORD("held", "5", OURS), 5, 0, NULL},
        {RECORD("held", "5", OURS), 4, ERR_FENCED, "another holder, job-7"},
        {RECORD("held", "5", OURS), 6, ERR_FENCED, "another holder, job-7"},
        {RECORD("held", "5", OTHERS), 5, ERR_FENCED, "another holder, job-7"},
        {RECORD("held", "5", OURS), 0, ERR_FENCED, "--lock"},
        {RECORD("released", "5", OURS), 5, ERR_FENCED, "was released"},
        {"{\"instance_id\":\"cron\",\"timestamp\":1795291446,\"timeout\":60}", 5, ERR_FENCED,
         "a script, cron"},
        {"nonsense", 5, ERR_FENCED, "a script"},
        {NULL, 5, ERR_FENCED, "was deleted"},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct duet_outcome outcome;
        struct duet_options options;
        uint64_t content;

        make_two();
        content = duet_content(origin);
        if (rows[i].record != NULL)
            write_record(rows[i].record);
        options = push_with(rows[i].token);
        outcome = duet_run(&options);
        duet_expect(outcome, rows[i].expected);
        if (rows[i].expected == 0) {
            duet_check_equal(origin, replica);
            continue;
        }
        assert_non_null(strstr(outcome.error.text, rows[i].text));
        assert_true(duet_content(origin) == content);
        assert_int_equal(duet_book(origin).fence.token, 0);
    }
}

/* A lease past its time that nobody took is still its holder's: his work is not thrown away for
 * nothing. */
static void test_late(void **unused)
{
    const struct timespec long_ago[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    struct duet_options options;

    (void)unused;
    make_two();
    write_record(RECORD("held", "5", OURS));
    assert_int_equal(utimensat(AT_FDCWD, lock, long_ago, 0), 0);
    options = push_with(5);
    duet_expect(duet_run(&options), 0);
    duet_check_equal(origin, replica);
}

/* Nobody knows who holds the lock: nothing is taken. */
static void test_unreachable(void **unused)
{
    struct duet_outcome outcome;
    struct duet_options options;
    uint64_t content;

    (void)unused;
    make_two();
    content = duet_content(origin);
    assert_int_equal(mkdir(lock, 0700), 0);
    options = push_with(5);
    outcome = duet_run(&options);
    duet_expect(outcome, ERR_STORE_UNUSABLE);
    assert_non_null(strstr(outcome.error.text, "nothing was changed"));
    assert_true(duet_content(origin) == content);
    assert_int_equal(duet_book(origin).fence.token, 0);
}

/* The lock is lost while the pages are on their way. */
static void test_lost_meanwhile(void **unused)
{
    struct duet_options options;
    struct duet push;
    uint64_t content;

    (void)unused;
    make_two();
    content = duet_content(origin);
    write_record(RECORD("held", "5", OURS));
    options = push_with(5);
    duet_start(&push, &options);
    assert_true(duet_until(&push, DUET_ORIGIN, MESSAGE_END));
    write_record(RECORD("held", "6", OTHERS));
    duet_expect(duet_finish(&push), ERR_FENCED);
    assert_true(duet_content(origin) == content);
    assert_int_equal(duet_book(origin).has_intent, 0);
    duet_check_whole(origin);
}

/* Pulls ask nobody: a copy may be had without the lock. */
static void test_pull(void **unused)
{
    struct duet_options options;

    (void)unused;
    make_two();
    options = push_with(0);
    options.kind = DUET_PULL;
    options.replica = duet_path("third.db");
    duet_expect(duet_run(&options), 0);
    duet_check_equal(origin, options.replica);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),     cmocka_unit_test(test_late),
        cmocka_unit_test(test_unreachable), cmocka_unit_test(test_lost_meanwhile),
        cmocka_unit_test(test_pull),
    };

    return cmocka_run_group_tests(tests, sample_setup, sample_teardown);
}
