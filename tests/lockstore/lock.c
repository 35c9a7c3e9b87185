/* lock: the driver over a real file:// store, in real time, with other holders in this process and
 * in others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uv.h>

#include "lockstore/lock.h"

/* A folder for one test, and the record in it. */
struct fixture {
    char folder[64];
    char path[96];
    char url[128];
    uv_loop_t loop;
};

/* One holder and what it was told. */
struct holder {
    struct lock *lock;
    uv_loop_t *loop;
    int waiting, acquired, doubtful, failed, released; /* how often */
    uint64_t token;
    uint8_t lease_id[LOCK_LEASE_ID_SIZE];
    struct lock_holder other; /* of the last on_waiting */
    struct error error;       /* of on_failed or on_released */
    int closed;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/lockstep-lock-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof(fixture->path), "%s/org.db.lock", fixture->folder);
    snprintf(fixture->url, sizeof(fixture->url), "file://%s", fixture->path);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char side[128];

    assert_int_equal(uv_run(&fixture->loop, UV_RUN_NOWAIT), 0);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    unlink(fixture->path);
    snprintf(side, sizeof(side), "%s.guard", fixture->path);
    unlink(side);
    assert_int_equal(rmdir(fixture->folder), 0); /* nothing else was left there */
    free(fixture);
    return 0;
}

static void on_waiting(void *user, const struct lock_holder *other)
{
    struct holder *holder = user;

    holder->waiting++;
    holder->other = *other;
    uv_stop(holder->loop);
}

static void on_acquired(void *user, uint64_t token, const uint8_t lease_id[LOCK_LEASE_ID_SIZE])
{
    struct holder *holder = user;

    holder->acquired++;
    holder->token = token;
    memcpy(holder->lease_id, lease_id, LOCK_LEASE_ID_SIZE);
    uv_stop(holder->loop);
}

static void on_doubtful(void *user)
{
    struct holder *holder = user;

    holder->doubtful++;
    uv_stop(holder->loop);
}

static void on_failed(void *user, const struct error *error)
{
    struct holder *holder = user;

    holder->failed++;
    holder->error = *error;
    uv_stop(holder->loop);
}

static void on_released(void *user, const struct error *error)
{
    struct holder *holder = user;

    holder->released++;
    holder->error = *error;
    uv_stop(holder->loop);
}

static void on_closed(void *arg)
{
    struct holder *holder = arg;

    holder->closed++;
    uv_stop(holder->loop);
}

static void open_lock(struct holder *holder, uv_loop_t *loop, const char *url, const char *name,
                      uint64_t timeout_ms, uint64_t wait_ms)
{
    struct lock_options options = {.instance = name, .timeout_ms = timeout_ms, .wait_ms = wait_ms};
    struct lock_callbacks callbacks = {on_waiting, on_acquired, on_doubtful, on_failed,
                                       on_released};
    struct error error;

    memset(holder, 0, sizeof(*holder));
    holder->loop = loop;
    assert_int_equal(lock_new(&holder->lock, loop, url, &options, &callbacks, holder, &error), 0);
}

/* Run the loop until *count is at least target. The ctest time-out is the deadline. */
static void run_until(uv_loop_t *loop, const int *count, int target)
{
    while (*count < target)
        uv_run(loop, UV_RUN_DEFAULT);
}

static void stop_cb(uv_timer_t *timer)
{
    uv_stop(timer->loop);
    timer->data = timer;
}

static void run_for(uv_loop_t *loop, uint64_t ms)
{
    uv_timer_t timer;

    uv_timer_init(loop, &timer);
    timer.data = NULL;
    uv_timer_start(&timer, stop_cb, ms, 0);
    while (timer.data == NULL)
        uv_run(loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
}

static void close_lock(struct holder *holder)
{
    lock_close(holder->lock, on_closed, holder);
    run_until(holder->loop, &holder->closed, 1);
}

static void acquire(struct holder *holder)
{
    lock_acquire(holder->lock);
    run_until(holder->loop, &holder->acquired, holder->acquired + 1);
}

static void release(struct holder *holder)
{
    lock_release(holder->lock);
    run_until(holder->loop, &holder->released, 1);
    assert_int_equal(holder->error.code, ERR_NONE);
}

static void write_record(const struct fixture *fixture, const char *text, int age_seconds)
{
    struct timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    int fd = open(fixture->path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    clock_gettime(CLOCK_REALTIME, &times[1]);
    times[1].tv_sec -= age_seconds;
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static void read_record(const struct fixture *fixture, char *text, size_t size)
{
    int fd = open(fixture->path, O_RDONLY);
    ssize_t got;

    assert_true(fd >= 0);
    got = read(fd, text, size - 1);
    assert_true(got >= 0);
    text[got] = '\0';
    close(fd);
}

static void test_acquire_release(void **state)
{
    struct fixture *fixture = *state;
    struct holder holder;
    char text[1024];

    open_lock(&holder, &fixture->loop, fixture->url, "job-1", 60000, 0);
    acquire(&holder);
    assert_int_equal(holder.token, 1);
    read_record(fixture, text, sizeof(text));
    assert_non_null(strstr(text, "\"instance_id\":\"job-1\""));
    assert_non_null(strstr(text, "\"state\":\"held\""));
    assert_non_null(strstr(text, "\"timeout\":60"));
    release(&holder);
    read_record(fixture, text, sizeof(text));
    assert_non_null(strstr(text, "\"state\":\"released\""));
    assert_non_null(strstr(text, "\"timestamp\":\"1970-01-01T00:00:00Z\",\"timeout\":0"));
    assert_non_null(strstr(text, "\"token\":1"));
    holder.released = 0;
    acquire(&holder); /* again, with what is known of the record */
    assert_int_equal(holder.token, 2);
    release(&holder);
    close_lock(&holder);
}

static void test_second_waits(void **state)
{
    struct fixture *fixture = *state;
    struct holder first, second;

    open_lock(&first, &fixture->loop, fixture->url, "first", 60000, 0);
    open_lock(&second, &fixture->loop, fixture->url, "second", 60000, 30000);
    acquire(&first);
    lock_acquire(second.lock);
    run_until(&fixture->loop, &second.waiting, 1);
    assert_string_equal(second.other.instance, "first");
    assert_int_equal(second.other.held, 1);
    assert_int_equal(second.other.token, 1);
    assert_int_equal(second.acquired, 0);
    release(&first);
    run_until(&fixture->loop, &second.acquired, 1);
    assert_int_equal(second.token, 2);
    assert_int_equal(second.waiting, 1);
    close_lock(&first);
    close_lock(&second);
}

static void test_no_wait(void **state)
{
    struct fixture *fixture = *state;
    struct holder first, second;

    open_lock(&first, &fixture->loop, fixture->url, "first", 60000, 0);
    open_lock(&second, &fixture->loop, fixture->url, "second", 60000, 0);
    acquire(&first);
    lock_acquire(second.lock);
    run_until(&fixture->loop, &second.failed, 1);
    assert_int_equal(second.error.code, ERR_LOCK_HELD);
    assert_non_null(strstr(second.error.text, "first"));
    close_lock(&second);
    close_lock(&first);
}

/* Renewals go on by themselves: each writes the record with the next rev. */
static void test_renewals(void **state)
{
    struct fixture *fixture = *state;
    struct holder holder;
    char text[1024];

    open_lock(&holder, &fixture->loop, fixture->url, "job", 3000, 0);
    acquire(&holder);
    do {
        run_for(&fixture->loop, 100);
        assert_int_equal(holder.failed, 0);
        read_record(fixture, text, sizeof(text));
    } while (strstr(text, "\"rev\":4,") == NULL);
    release(&holder);
    close_lock(&holder);
}

static void test_deleted_record_is_a_loss(void **state)
{
    struct fixture *fixture = *state;
    struct holder holder;

    open_lock(&holder, &fixture->loop, fixture->url, "job", 1000, 0);
    acquire(&holder);
    assert_int_equal(unlink(fixture->path), 0);
    run_until(&fixture->loop, &holder.failed, 1);
    assert_int_equal(holder.error.code, ERR_LOCK_LOST);
    close_lock(&holder);
}

/* A loop that stood still for longer than the lease: the loss is told before anything else. */
static void test_deadline_passes(void **state)
{
    struct fixture *fixture = *state;
    struct holder holder;

    open_lock(&holder, &fixture->loop, fixture->url, "job", 1000, 0);
    acquire(&holder);
    usleep(1100000);
    run_until(&fixture->loop, &holder.failed, 1);
    assert_int_equal(holder.error.code, ERR_LOCK_LOST);
    close_lock(&holder);
}

static void test_break(void **state)
{
    struct fixture *fixture = *state;
    struct holder first, second;

    open_lock(&first, &fixture->loop, fixture->url, "first", 3000, 0);
    open_lock(&second, &fixture->loop, fixture->url, "second", 60000, 0);
    acquire(&first);
    lock_break(second.lock);
    run_until(&fixture->loop, &second.acquired, 1);
    assert_int_equal(second.token, 2);
    run_until(&fixture->loop, &first.failed, 1);
    assert_int_equal(first.error.code, ERR_LOCK_LOST);
    assert_non_null(strstr(first.error.text, "second"));
    close_lock(&first);
    close_lock(&second);
}

static void test_raise(void **state)
{
    struct fixture *fixture = *state;
    struct holder holder;

    open_lock(&holder, &fixture->loop, fixture->url, "job", 60000, 0);
    acquire(&holder);
    lock_raise(holder.lock, 41);
    run_until(&fixture->loop, &holder.acquired, 2);
    assert_int_equal(holder.token, 42);
    release(&holder);
    close_lock(&holder);
}

static void test_script_record(void **state)
{
    static const char fresh[] =
        "{\"instance_id\":\"cron-a\",\"timestamp\":1795291446,\"timeout\":1}";
    struct fixture *fixture = *state;
    struct holder holder;
    char text[1024];

    write_record(fixture, fresh, 0);
    open_lock(&holder, &fixture->loop, fixture->url, "job", 60000, 0);
    lock_acquire(holder.lock);
    run_until(&fixture->loop, &holder.failed, 1);
    assert_int_equal(holder.error.code, ERR_LOCK_HELD);
    assert_non_null(strstr(holder.error.text, "cron-a"));
    read_record(fixture, text, sizeof(text));
    assert_string_equal(text, fresh);
    close_lock(&holder);

    write_record(fixture, fresh, 4); /* stale by the file system's clock */
    open_lock(&holder, &fixture->loop, fixture->url, "job", 60000, 0);
    acquire(&holder);
    assert_int_equal(holder.token, 1);
    read_record(fixture, text, sizeof(text));
    assert_null(strstr(text, "\"timestamp\":\"")); /* a number, as the scripts here write it */
    close_lock(&holder);
}

/* A holder that is killed is followed when its lease has run out, in another process. */
static void test_killed_holder(void **state)
{
    struct fixture *fixture = *state;
    struct holder holder;
    int pipes[2];
    char byte;
    pid_t child;

    assert_int_equal(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        uv_loop_t loop;

        uv_loop_init(&loop);
        open_lock(&holder, &loop, fixture->url, "child", 1000, 0);
        acquire(&holder);
        if (write(pipes[1], "x", 1) != 1)
            _exit(1);
        uv_run(&loop, UV_RUN_DEFAULT);
        _exit(1);
    }
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(pipes[0]);
    close(pipes[1]);
    open_lock(&holder, &fixture->loop, fixture->url, "parent", 60000, 30000);
    acquire(&holder);
    assert_int_equal(holder.waiting, 1);
    assert_string_equal(holder.other.instance, "child");
    assert_int_equal(holder.other.pid, child);
    assert_int_equal(holder.token, 2);
    close_lock(&holder);
}

/* Release before anything was acquired, and close with a request under way. */
static void test_ends_early(void **state)
{
    struct fixture *fixture = *state;
    struct holder holder;

    open_lock(&holder, &fixture->loop, fixture->url, "job", 60000, 0);
    release(&holder);
    close_lock(&holder);
    open_lock(&holder, &fixture->loop, fixture->url, "job", 60000, 0);
    lock_acquire(holder.lock);
    release(&holder);
    close_lock(&holder);
    for (int turns = 0; turns < 40; turns++) {
        open_lock(&holder, &fixture->loop, fixture->url, "job", 60000, 60000);
        lock_acquire(holder.lock);
        for (int turn = 0; turn < turns; turn++) {
            uv_run(&fixture->loop, UV_RUN_NOWAIT);
            usleep(300);
        }
        close_lock(&holder);
        unlink(fixture->path);
    }
}

static void test_store_unusable(void **state)
{
    struct fixture *fixture = *state;
    struct holder holder;
    char url[160];

    snprintf(url, sizeof(url), "file://%s/missing/org.lock", fixture->folder);
    open_lock(&holder, &fixture->loop, url, "job", 60000, 0);
    lock_acquire(holder.lock);
    run_until(&fixture->loop, &holder.failed, 1);
    assert_int_equal(holder.error.code, ERR_STORE_UNUSABLE);
    assert_non_null(strstr(holder.error.text, "missing/org.lock"));
    close_lock(&holder);
}

struct looked {
    uv_loop_t *loop;
    int done;
    struct lock_holder holder;
    struct error error;
};

static void look_done(void *arg, const struct lock_holder *holder, const struct error *error)
{
    struct looked *looked = arg;

    looked->done++;
    looked->holder = *holder;
    looked->error = *error;
    uv_stop(looked->loop);
}

static void look(struct fixture *fixture, struct looked *looked)
{
    struct error error;

    memset(looked, 0, sizeof(*looked));
    looked->loop = &fixture->loop;
    assert_int_equal(lock_look(&fixture->loop, fixture->url, look_done, looked, &error), 0);
    run_until(&fixture->loop, &looked->done, 1);
    assert_int_equal(looked->error.code, ERR_NONE);
}

static void test_look(void **state)
{
    struct fixture *fixture = *state;
    struct looked looked;
    struct holder holder;

    look(fixture, &looked);
    assert_int_equal(looked.holder.exists, 0);
    open_lock(&holder, &fixture->loop, fixture->url, "job", 60000, 0);
    acquire(&holder);
    look(fixture, &looked);
    assert_int_equal(looked.holder.exists, 1);
    assert_int_equal(looked.holder.held, 1);
    assert_int_equal(looked.holder.foreign, 0);
    assert_int_equal(looked.holder.token, 1);
    assert_int_equal(looked.holder.timeout_ms, 60000);
    assert_true(looked.holder.age_ms >= 0);
    assert_int_equal(looked.holder.pid, getpid());
    assert_memory_equal(looked.holder.lease_id, holder.lease_id, LOCK_LEASE_ID_SIZE);
    release(&holder);
    look(fixture, &looked);
    assert_int_equal(looked.holder.held, 0);
    close_lock(&holder);
    write_record(fixture, "{\"instance_id\":\"a\\u001b[31mb\",\"timestamp\":1,\"timeout\":9}", 0);
    look(fixture, &looked);
    assert_int_equal(looked.holder.foreign, 1);
    assert_int_equal(looked.holder.held, 1);
    assert_null(strchr(looked.holder.instance, '\033'));
    write_record(fixture, "{\"instance_id\":\"a\",\"timestamp\":1,\"timeout\":9}", 12);
    look(fixture, &looked);
    assert_int_equal(looked.holder.held, 0);
}

static void test_bad_urls(void **state)
{
    static const char *const urls[] = {"ftp://x/y",    "org.lock",        "file://host/x",
                                       "file:x",       "file:///tmp/%zz", "file:///tmp/%0",
                                       "file:///tmp/", "file:///tmp/%00", "file:"};
    struct fixture *fixture = *state;
    struct lock_options options = {.instance = "job"};
    struct lock_callbacks callbacks = {on_waiting, on_acquired, NULL, on_failed, on_released};
    struct error error;
    struct lock *lock;

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
        assert_int_equal(
            lock_new(&lock, &fixture->loop, urls[i], &options, &callbacks, NULL, &error),
            ERR_USAGE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(acquire_release),
        TEST(second_waits),
        TEST(no_wait),
        TEST(renewals),
        TEST(deleted_record_is_a_loss),
        TEST(deadline_passes),
        TEST(break),
        TEST(raise),
        TEST(script_record),
        TEST(killed_holder),
        TEST(ends_early),
        TEST(store_unusable),
        TEST(look),
        TEST(bad_urls),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
