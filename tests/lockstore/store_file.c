/* store_file: conditional writes between processes and threads, crashes, and what is wrong with a
 * path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uv.h>

#include "lockstore/store.h"
#include "lockstore/store_file.h"
#include "protocol/base/limits.h"

#define PROCESSES 8
#define THREADS   4
#define ROUNDS    40

struct fixture {
    char folder[64];
    char path[96];
    char url[128];
};

/* One store on a loop of its own, used as if it blocked. */
struct client {
    uv_loop_t loop;
    struct store *store;
    int done;
    struct store_result result;
    uint8_t body[LIMIT_LOCK_RECORD]; /* a copy: the result's is good during the callback */
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/lockstep-store-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof(fixture->path), "%s/a lock", fixture->folder);
    snprintf(fixture->url, sizeof(fixture->url), "file://%s/a%%20lock", fixture->folder);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char command[128];

    snprintf(command, sizeof(command), "rm -r '%s'", fixture->folder);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

static void client_init(struct client *client, const char *url)
{
    struct error error;

    memset(client, 0, sizeof(*client));
    if (uv_loop_init(&client->loop) != 0 ||
        store_open(&client->store, &client->loop, url, &error) != 0)
        abort();
}

static void closed(void *arg)
{
    ((struct client *)arg)->done = 1;
}

static void client_release(struct client *client)
{
    client->done = 0;
    store_close(client->store, closed, client);
    assert_int_equal(client->done, 0); /* never from inside the call */
    uv_run(&client->loop, UV_RUN_DEFAULT);
    if (!client->done || uv_loop_close(&client->loop) != 0)
        abort();
}

static void done(void *arg, const struct store_result *result)
{
    struct client *client = arg;

    client->done = 1;
    client->result = *result;
    if (result->body != NULL)
        memcpy(client->body, result->body, result->body_len);
}

static enum store_outcome get(struct client *client)
{
    client->done = 0;
    store_get(client->store, done, client);
    while (!client->done)
        uv_run(&client->loop, UV_RUN_ONCE);
    return client->result.outcome;
}

static enum store_outcome put(struct client *client, enum store_condition condition,
                              const char *etag, const void *body, size_t len)
{
    client->done = 0;
    store_put(client->store, condition, etag, body, len, done, client);
    while (!client->done)
        uv_run(&client->loop, UV_RUN_ONCE);
    return client->result.outcome;
}

static void test_conditions(void **state)
{
    struct fixture *fixture = *state;
    struct client client;
    char first[STORE_ETAG_MAX], second[STORE_ETAG_MAX];
    struct stat info;

    client_init(&client, fixture->url);
    assert_int_equal(get(&client), STORE_ABSENT);
    assert_int_equal(put(&client, STORE_IF_MATCH, "\"x\"", "none", 4), STORE_ABSENT);
    assert_int_equal(put(&client, STORE_IF_ABSENT, NULL, "one", 3), STORE_OK);
    strcpy(first, client.result.etag);
    assert_int_equal(first[0], '"');
    assert_int_equal(stat(fixture->path, &info), 0); /* %20 was decoded */
    assert_int_equal(put(&client, STORE_IF_ABSENT, NULL, "two", 3), STORE_MISMATCH);
    assert_int_equal(get(&client), STORE_OK);
    assert_string_equal(client.result.etag, first);
    assert_int_equal(client.result.body_len, 3);
    assert_memory_equal(client.body, "one", 3);
    assert_true(client.result.age_ms >= 0);
    assert_int_equal(put(&client, STORE_IF_MATCH, first, "two", 3), STORE_OK);
    strcpy(second, client.result.etag);
    assert_string_not_equal(second, first);
    assert_int_equal(put(&client, STORE_IF_MATCH, first, "three", 5), STORE_MISMATCH);
    assert_int_equal(get(&client), STORE_OK);
    assert_memory_equal(client.body, "two", 3);
    assert_int_equal(put(&client, STORE_IF_MATCH, "", "three", 5), STORE_MISMATCH);
    client_release(&client);
}

/* Since when the record is there, by the file system's clock; a time in the future is not told. */
static void test_age(void **state)
{
    struct fixture *fixture = *state;
    struct timespec times[2] = {{0, UTIME_NOW}, {0, 0}};
    struct client client;

    client_init(&client, fixture->url);
    assert_int_equal(put(&client, STORE_IF_ABSENT, NULL, "one", 3), STORE_OK);
    clock_gettime(CLOCK_REALTIME, &times[1]);
    times[1].tv_sec -= 100;
    assert_int_equal(utimensat(AT_FDCWD, fixture->path, times, 0), 0);
    assert_int_equal(get(&client), STORE_OK);
    assert_true(client.result.age_ms >= 99900);
    times[1].tv_sec += 1000;
    assert_int_equal(utimensat(AT_FDCWD, fixture->path, times, 0), 0);
    assert_int_equal(get(&client), STORE_OK);
    assert_int_equal(client.result.age_ms, -1);
    client_release(&client);
}

static void test_unusable(void **state)
{
    struct fixture *fixture = *state;
    static uint8_t large[LIMIT_LOCK_RECORD + 1];
    struct client client;
    char url[160];
    int fd;

    snprintf(url, sizeof(url), "file://%s/none/lock", fixture->folder);
    client_init(&client, url);
    assert_int_equal(put(&client, STORE_IF_ABSENT, NULL, "one", 3), STORE_REFUSED);
    assert_non_null(strstr(client.result.error.text, "none/lock"));
    assert_int_equal(get(&client), STORE_ABSENT);
    client_release(&client);

    assert_int_equal(mkdir(fixture->path, 0777), 0);
    client_init(&client, fixture->url);
    assert_int_equal(get(&client), STORE_REFUSED);
    assert_int_equal(put(&client, STORE_IF_ABSENT, NULL, "one", 3), STORE_REFUSED);
    assert_int_equal(rmdir(fixture->path), 0);

    fd = open(fixture->path, O_WRONLY | O_CREAT, 0666);
    assert_int_equal(write(fd, large, sizeof(large)), sizeof(large));
    close(fd);
    assert_int_equal(get(&client), STORE_REFUSED);
    assert_int_equal(put(&client, STORE_IF_ABSENT, NULL, "one", 3), STORE_REFUSED);
    assert_int_equal(truncate(fixture->path, LIMIT_LOCK_RECORD), 0);
    assert_int_equal(get(&client), STORE_OK);
    client_release(&client);
}

/* Another process is stopped while it has the guard: no definite answer, in a bounded time. */
static void test_guard_kept(void **state)
{
    struct fixture *fixture = *state;
    struct client client;
    char guard[128];
    int fd;

    snprintf(guard, sizeof(guard), "%s.guard", fixture->path);
    fd = open(guard, O_RDWR | O_CREAT, 0666);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    client_init(&client, fixture->url);
    assert_int_equal(put(&client, STORE_IF_ABSENT, NULL, "one", 3), STORE_UNKNOWN);
    assert_non_null(strstr(client.result.error.text, ".guard"));
    assert_int_equal(get(&client), STORE_ABSENT);
    close(fd);
    assert_int_equal(put(&client, STORE_IF_ABSENT, NULL, "one", 3), STORE_OK);
    client_release(&client);
}

/* What a crash left half-written is not read, and not in the way. */
static void test_left_over(void **state)
{
    struct fixture *fixture = *state;
    struct client client;
    char left[128];
    int fd;

    snprintf(left, sizeof(left), "%s.new", fixture->path);
    fd = open(left, O_WRONLY | O_CREAT, 0666);
    assert_int_equal(write(fd, "half a record, and longer than", 30), 30);
    close(fd);
    client_init(&client, fixture->url);
    assert_int_equal(get(&client), STORE_ABSENT);
    assert_int_equal(put(&client, STORE_IF_ABSENT, NULL, "one", 3), STORE_OK);
    assert_int_equal(get(&client), STORE_OK);
    assert_int_equal(client.result.body_len, 3);
    assert_int_equal(access(left, F_OK), -1);
    client_release(&client);
}

static void test_close_under_way(void **state)
{
    struct fixture *fixture = *state;
    struct client client;

    client_init(&client, fixture->url);
    client.result.outcome = STORE_REFUSED;
    store_put(client.store, STORE_IF_ABSENT, NULL, (const uint8_t *)"one", 3, done, &client);
    client_release(&client);
    assert_int_equal(client.result.outcome, STORE_REFUSED); /* the callback did not come */
}

/* Shared between the racers: for each round, how many won the create and the compare-and-swap. */
struct race {
    pthread_barrier_t barrier;
    int created[ROUNDS], swapped[ROUNDS], lost[ROUNDS];
    char url[128];
};

/* Each round on a key of its own: create, read what the winner wrote, swap. */
static void *racer(void *arg)
{
    struct race *race = arg;
    char url[200], body[64], etag[STORE_ETAG_MAX];
    struct client client;

    for (int round = 0; round < ROUNDS; round++) {
        snprintf(url, sizeof(url), "%s-%d", race->url, round);
        client_init(&client, url);
        snprintf(body, sizeof(body), "%d %p", (int)getpid(), (void *)&client);
        pthread_barrier_wait(&race->barrier);
        if (put(&client, STORE_IF_ABSENT, NULL, body, strlen(body)) == STORE_OK)
            __sync_fetch_and_add(&race->created[round], 1);
        else if (client.result.outcome == STORE_MISMATCH)
            __sync_fetch_and_add(&race->lost[round], 1);
        pthread_barrier_wait(&race->barrier);
        if (get(&client) != STORE_OK)
            abort();
        strcpy(etag, client.result.etag);
        strcat(body, "!");
        pthread_barrier_wait(&race->barrier);
        if (put(&client, STORE_IF_MATCH, etag, body, strlen(body)) == STORE_OK)
            __sync_fetch_and_add(&race->swapped[round], 1);
        else if (client.result.outcome == STORE_MISMATCH)
            __sync_fetch_and_add(&race->lost[round], 1);
        client_release(&client);
    }
    return NULL;
}

static void race_process(struct race *race)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, racer, race) != 0)
            abort();
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void test_one_winner(void **state)
{
    struct fixture *fixture = *state;
    struct race *race =
        mmap(NULL, sizeof(*race), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrierattr_t shared;
    int status;

    assert_true(race != MAP_FAILED);
    snprintf(race->url, sizeof(race->url), "%s", fixture->url);
    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&race->barrier, &shared, PROCESSES * THREADS);
    for (int i = 0; i < PROCESSES; i++) {
        if (fork() == 0) {
            race_process(race);
            _exit(0);
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        assert_int_equal(race->created[round], 1);
        assert_int_equal(race->swapped[round], 1);
        assert_int_equal(race->lost[round], 2 * (PROCESSES * THREADS - 1));
    }
    munmap(race, sizeof(*race));
}

/* Swap large records, each of one byte alone, until killed. */
static void swap_for_ever(const char *url)
{
    static uint8_t body[LIMIT_LOCK_RECORD];
    struct client client;
    uint8_t byte = 0;

    client_init(&client, url);
    for (;;) {
        if (get(&client) != STORE_OK)
            _exit(1);
        memset(body, ++byte, sizeof(body));
        if (put(&client, STORE_IF_MATCH, client.result.etag, body, sizeof(body)) != STORE_OK)
            _exit(1);
    }
}

/* kill -9 at any time: what is there is a whole record, and the next write goes through. */
static void test_killed_writer(void **state)
{
    struct fixture *fixture = *state;
    uint8_t body[LIMIT_LOCK_RECORD] = {0};
    struct client client;
    int status, fd;

    fd = open(fixture->path, O_WRONLY | O_CREAT, 0666); /* by hand: no thread pool before a fork */
    assert_int_equal(write(fd, body, sizeof(body)), sizeof(body));
    close(fd);
    for (useconds_t round = 0; round < 30; round++) {
        pid_t child = fork();

        if (child == 0)
            swap_for_ever(fixture->url);
        usleep(2000 + round * 700);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        child = fork();
        if (child == 0) {
            client_init(&client, fixture->url);
            if (get(&client) != STORE_OK || client.result.body_len != sizeof(body))
                _exit(2);
            for (size_t i = 1; i < sizeof(body); i++) {
                if (client.body[i] != client.body[0])
                    _exit(3);
            }
            memset(body, client.body[0] ^ 0x80, sizeof(body));
            _exit(put(&client, STORE_IF_MATCH, client.result.etag, body, sizeof(body)) != STORE_OK);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_winner), /* these two fork, and come before the parent has a thread pool */
        TEST(killed_writer), TEST(conditions),      TEST(age),       TEST(unusable),
        TEST(guard_kept),    TEST(close_under_way), TEST(left_over),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
