#include "protocol/page/spool.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/base/error.h"
#include "tests/page/sample.h"

static void test_write_then_read_twice(void **unused)
{
    uint8_t data[5000], back[5000];
    struct spool *spool;
    size_t got;

    (void)unused;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    assert_int_equal(spool_new(&spool, sample_path("some.db"), NULL, 5000, &failure), 0);
    assert_int_equal(spool_append(spool, data, 1, &failure), 0);
    assert_int_equal(spool_append(spool, data + 1, 4000, &failure), 0);
    assert_int_equal(spool_read(spool, back, 10, &got, &failure), 0);
    assert_int_equal(got, 10);
    /* Reading does not move where the next bytes go. */
    assert_int_equal(spool_append(spool, data + 4001, 999, &failure), 0);
    assert_int_equal(spool_size(spool), 5000);
    for (int pass = 0; pass < 2; pass++) {
        spool_rewind(spool);
        memset(back, 0, sizeof(back));
        assert_int_equal(spool_read(spool, back, 4999, &got, &failure), 0);
        assert_int_equal(got, 4999);
        assert_int_equal(spool_read(spool, back + 4999, 100, &got, &failure), 0);
        assert_int_equal(got, 1);
        assert_memory_equal(back, data, 5000);
        assert_int_equal(spool_read(spool, back, 1, &got, &failure), 0);
        assert_int_equal(got, 0);
    }
    spool_free(spool);
}

static void test_leaves_no_name(void **unused)
{
    struct spool *spool;
    const char *path = sample_path("lonely.db");
    char directory[256];
    DIR *listing;
    struct dirent *entry;

    (void)unused;
    strcpy(directory, path);
    *strrchr(directory, '/') = '\0';
    assert_int_equal(spool_new(&spool, path, NULL, 10, &failure), 0);
    assert_int_equal(spool_append(spool, "abc", 3, &failure), 0);
    listing = opendir(directory);
    while ((entry = readdir(listing)) != NULL)
        assert_int_equal(entry->d_name[0], '.');
    rewinddir(listing);
    while ((entry = readdir(listing)) != NULL)
        assert_null(strstr(entry->d_name, "spool"));
    closedir(listing);
    spool_free(spool);
}

static void test_refuses_more_than_its_maximum(void **unused)
{
    struct spool *spool;

    (void)unused;
    assert_int_equal(spool_new(&spool, "x", "/tmp", 10, &failure), 0);
    assert_int_equal(spool_append(spool, "0123456789", 10, &failure), 0);
    assert_int_equal(spool_append(spool, "x", 1, &failure), ERR_PROTOCOL);
    assert_int_equal(spool_size(spool), 10);
    spool_free(spool);
}

static void test_names_the_directory(void **unused)
{
    struct spool *spool;

    (void)unused;
    assert_int_equal(spool_new(&spool, "/nonexistent/some.db", NULL, 10, &failure),
                     ERR_NOT_ALLOWED);
    assert_null(spool);
    assert_non_null(strstr(failure.text, "/nonexistent"));
    assert_null(strstr(failure.text, "some.db"));
}

/* A file size limit stands for a full disk: the size stays what it was, and what was there can be
 * read. */
static void test_failed_write(void **unused)
{
    struct rlimit old, low;
    struct spool *spool;
    char back[8];
    size_t got;

    (void)unused;
    assert_int_equal(spool_new(&spool, "x", "/tmp", 100000, &failure), 0);
    assert_int_equal(spool_append(spool, "kept", 4, &failure), 0);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    low = (struct rlimit){4, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &low);
    assert_int_equal(spool_append(spool, "lost", 4, &failure), ERR_IO);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_non_null(strstr(failure.text, "/tmp"));
    assert_int_equal(spool_read(spool, back, 8, &got, &failure), 0);
    assert_int_equal(got, 4);
    assert_memory_equal(back, "kept", 4);
    spool_free(spool);
}

/* Reads and truncations at any place; appending goes on behind what is left. */
static void test_seek_and_truncate(void **unused)
{
    struct spool *spool;
    char back[8];
    size_t got;

    (void)unused;
    assert_int_equal(spool_new(&spool, "x", "/tmp", 10, &failure), 0);
    assert_int_equal(spool_append(spool, "0123456789", 10, &failure), 0);
    spool_seek(spool, 7);
    assert_int_equal(spool_read(spool, back, 8, &got, &failure), 0);
    assert_int_equal(got, 3);
    assert_memory_equal(back, "789", 3);
    spool_seek(spool, 10);
    assert_int_equal(spool_read(spool, back, 8, &got, &failure), 0);
    assert_int_equal(got, 0);
    assert_int_equal(spool_truncate(spool, 4, &failure), 0);
    assert_int_equal(spool_size(spool), 4);
    assert_int_equal(spool_append(spool, "abcdefg", 7, &failure), ERR_PROTOCOL);
    assert_int_equal(spool_append(spool, "abcdef", 6, &failure), 0);
    spool_seek(spool, 2);
    assert_int_equal(spool_read(spool, back, 8, &got, &failure), 0);
    assert_int_equal(got, 8);
    assert_memory_equal(back, "23abcdef", 8);
    spool_free(spool);
}

static void test_with_a_name(void **unused)
{
    const char *path = sample_path("named");
    struct spool *spool, *second;
    char back[8];
    size_t got;

    (void)unused;
    assert_int_equal(spool_open(&spool, path, 100, &failure), 0);
    assert_int_equal(spool_append(spool, "kept", 4, &failure), 0);
    assert_int_equal(spool_open(&second, path, 100, &failure), ERR_BUSY);
    assert_null(second);
    spool_free(spool);
    assert_int_equal(spool_open(&spool, path, 100, &failure), 0);
    assert_int_equal(spool_size(spool), 4);
    assert_int_equal(spool_read(spool, back, 8, &got, &failure), 0);
    assert_int_equal(got, 4);
    assert_memory_equal(back, "kept", 4);
    assert_int_equal(spool_append(spool, " too", 4, &failure), 0);
    spool_free(spool);
    assert_int_equal(spool_open(&spool, path, 100, &failure), 0);
    assert_int_equal(spool_size(spool), 8);
    spool_free(spool);
}

/* What stands at the name may be anything: only a plain file is taken, and no link is followed. */
static void test_a_name_that_is_no_file(void **unused)
{
    const char *folder = sample_path("folder");
    const char *link = sample_path("link");
    const char *pipe = sample_path("pipe");
    const char *const paths[] = {folder, link, pipe};
    struct spool *spool;

    (void)unused;
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(symlink("elsewhere", link), 0);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(spool_open(&spool, paths[i], 100, &failure), ERR_NOT_ALLOWED);
        assert_null(spool);
    }
    rmdir(folder);
    unlink(link);
    unlink(pipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_then_read_twice),
        cmocka_unit_test(test_leaves_no_name),
        cmocka_unit_test(test_refuses_more_than_its_maximum),
        cmocka_unit_test(test_names_the_directory),
        cmocka_unit_test(test_failed_write),
        cmocka_unit_test(test_seek_and_truncate),
        cmocka_unit_test(test_with_a_name),
        cmocka_unit_test(test_a_name_that_is_no_file),
    };

    return cmocka_run_group_tests(tests, sample_setup, sample_teardown);
}
