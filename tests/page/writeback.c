/* writeback: what was noted is handed to the kernel once, in order, and nothing that was not; the file is let go of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <time.h>

#include "protocol/page/writeback.h"

#define MIB 1048576u

/* Stands in the place of the C library's: what the thread told the kernel. */
static _Atomic uint64_t told_from, told_to;
static _Atomic int is_in_order;

int sync_file_range(int fd, off64_t from, off64_t len, unsigned flags)
{
    assert_true(fcntl(fd, F_GETFD) >= 0);
    assert_int_equal(flags, SYNC_FILE_RANGE_WRITE);
    if (told_to == 0)
        told_from = (uint64_t)from;
    else if (told_to != (uint64_t)from)
        is_in_order = 0;
    told_to = (uint64_t)(from + len);
    return 0;
}

static int open_files(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* The thread has all the time it wants. */
static void wait_until_told(uint64_t to)
{
    while (told_to < to)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void tells_the_kernel(void **state)
{
    char path[] = "/tmp/lockstep-writeback-XXXXXX";
    int file = mkstemp(path), files;
    struct writeback *writeback;

    (void)state;
    assert_true(file >= 0);
    told_from = told_to = 0;
    is_in_order = 1;
    files = open_files();
    writeback = writeback_new(path, 3 * MIB);
    assert_non_null(writeback);
    for (uint64_t to = 3 * MIB; to <= 9 * MIB + 5; to += 65536)
        writeback_note(writeback, to);
    wait_until_told(8 * MIB); /* less than a MiB may be left */
    writeback_note(writeback, 12 * MIB);
    wait_until_told(12 * MIB);
    writeback_note(writeback, 12 * MIB + 7);
    writeback_free(writeback);
    assert_true(told_from == 3 * MIB && told_to == 12 * MIB && is_in_order);
    assert_int_equal(open_files(), files);
    close(file);
    unlink(path);
}

static void does_without(void **state)
{
    int files = open_files();

    (void)state;
    assert_null(writeback_new("/nonexistent/file", 0));
    writeback_note(NULL, MIB);
    writeback_free(NULL);
    assert_int_equal(open_files(), files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_the_kernel),
        cmocka_unit_test(does_without),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
