/*
 * credentials_process: that nothing of the program outlives its end. Its processes inherit $MARK, a
 * pipe: a line in it says that they are there, and its end that none is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uv.h>

#include "lockstore/credentials_process.h"
#include "protocol/base/error.h"

#define PATIENCE_MS 20000

struct run {
    uv_loop_t loop;
    struct credentials_process *process;
    int marks; /* what is written to $MARK is read here */
    int is_done;
    struct error error;
    int is_closed;
};

static void done_cb(void *arg, const struct credentials *credentials, const struct error *error)
{
    struct run *run = arg;

    assert_null(credentials);
    run->error = *error;
    run->is_done = 1;
}

static void closed_cb(void *arg)
{
    struct run *run = arg;

    run->is_closed = 1;
}

/* How many bytes come next: 1, or 0 once no process is left that could write one. */
static ssize_t next_mark(const struct run *run)
{
    struct pollfd fd = {.fd = run->marks, .events = POLLIN};
    char byte;

    assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
    return read(run->marks, &byte, 1);
}

/* Returns when the program has said that it is there. */
static void start(struct run *run, const char *command, uint64_t timeout_ms)
{
    char path[32];
    int marks[2];
    struct error error = {0};

    *run = (struct run){0};
    uv_loop_init(&run->loop);
    assert_int_equal(pipe2(marks, O_CLOEXEC), 0);
    run->marks = marks[0];
    fcntl(marks[1], F_SETFD, 0);
    snprintf(path, sizeof(path), "/dev/fd/%d", marks[1]);
    setenv("MARK", path, 1);
    assert_int_equal(credentials_process_start(&run->process, &run->loop, command, timeout_ms,
                                               done_cb, run, &error),
                     0);
    close(marks[1]);
    assert_int_equal(next_mark(run), 1);
}

static void close_and_check(struct run *run)
{
    credentials_process_close(run->process, closed_cb, run);
    while (!run->is_closed)
        assert_int_not_equal(uv_run(&run->loop, UV_RUN_ONCE) + run->is_closed, 0);
    assert_int_equal(next_mark(run), 0);
    /* The shell was waited for, too. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    close(run->marks);
    assert_int_equal(uv_loop_close(&run->loop), 0);
}

static const char *const commands[] = {
    "echo >$MARK; exec sleep 60",
    "(echo >$MARK; exec sleep 60); exit 1",
    "(echo >$MARK; exec sleep 60) | (exec sleep 60) | cat",
    "sh -c '(trap \"\" TERM HUP; echo >$MARK; exec sleep 60); exit 1'; exit 1",
};

static void test_closed_while_it_runs(void **state)
{
    struct run run;

    (void)state;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        start(&run, commands[i], 60000);
        close_and_check(&run);
        assert_false(run.is_done);
    }
}

static void test_not_in_time(void **state)
{
    struct run run;

    (void)state;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        start(&run, commands[i], 10);
        while (!run.is_done)
            uv_run(&run.loop, UV_RUN_ONCE);
        assert_int_equal(run.error.code, ERR_TIMEOUT);
        close_and_check(&run);
    }
}

static void test_prints_too_much(void **state)
{
    struct run run;

    (void)state;
    start(&run, "(echo >$MARK; head -c 100000 /dev/zero; exec sleep 60); exit 1", 60000);
    while (!run.is_done)
        uv_run(&run.loop, UV_RUN_ONCE);
    assert_int_equal(run.error.code, ERR_STORE_UNUSABLE);
    assert_non_null(strstr(run.error.text, "more than"));
    close_and_check(&run);
}

static void test_closed_after_its_end(void **state)
{
    struct run run;

    (void)state;
    start(&run, "echo >$MARK; exit 3", 60000);
    while (!run.is_done)
        uv_run(&run.loop, UV_RUN_ONCE);
    assert_non_null(strstr(run.error.text, "status 3"));
    close_and_check(&run);
}

/* A terminal would be the program's as well; tests/lockstore/s3_credentials.py has one. */
static int leave_terminal(void **state)
{
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);

    (void)state;
    if (tty >= 0) {
        ioctl(tty, TIOCNOTTY);
        close(tty);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_while_it_runs),
        cmocka_unit_test(test_not_in_time),
        cmocka_unit_test(test_prints_too_much),
        cmocka_unit_test(test_closed_after_its_end),
    };

    return cmocka_run_group_tests(tests, leave_terminal, NULL);
}
