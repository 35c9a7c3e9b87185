/* Pages that follow one another are written at once, to the file and to its twin. */
#include "protocol/page/run_writer.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/base/error.h"
#include "tests/page/sample.h"

#define SIZE 4096

static struct run_writer writer;
static int fd;

/* sample_path would delete the file. */
static const char *path_of(const char *name)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s/%s", sample_directory(), name);
    return path;
}

static int make(const char *name)
{
    int made = open(path_of(name), O_CREAT | O_TRUNC | O_WRONLY, 0600);

    assert_true(made >= 0);
    return made;
}

static void put(uint32_t pgno, char byte)
{
    uint8_t page[SIZE];

    memset(page, byte, SIZE);
    ok(run_writer_put(&writer, (uint64_t)(pgno - 1) * SIZE, page, SIZE, &failure));
}

static off_t size_of(const char *name)
{
    struct stat status;

    assert_int_equal(stat(path_of(name), &status), 0);
    return status.st_size;
}

static char byte_at(const char *name, uint32_t pgno)
{
    char byte = 0;
    int file = open(path_of(name), O_RDONLY);

    assert_int_equal(pread(file, &byte, 1, (off_t)pgno * SIZE - 1), 1);
    close(file);
    return byte;
}

static void test_runs(void **unused)
{
    (void)unused;
    fd = make("file");
    run_writer_init(&writer, fd, "file", 1);
    ok(run_writer_flush(&writer, &failure));
    put(3, 'a');
    put(4, 'b');
    assert_int_equal(size_of("file"), 0);
    put(9, 'c'); /* the run is over */
    assert_int_equal(size_of("file"), 4 * SIZE);
    put(1, 'd'); /* backwards, too */
    assert_int_equal(size_of("file"), 9 * SIZE);
    put(2, 'e');
    put(2, 'f'); /* the same again */
    ok(run_writer_flush(&writer, &failure));
    assert_int_equal(byte_at("file", 1), 'd');
    assert_int_equal(byte_at("file", 2), 'f');
    assert_int_equal(byte_at("file", 3), 'a');
    assert_int_equal(byte_at("file", 4), 'b');
    assert_int_equal(byte_at("file", 9), 'c');
    put(10, 'g');
    run_writer_drop(&writer);
    ok(run_writer_flush(&writer, &failure));
    assert_int_equal(size_of("file"), 9 * SIZE);
    run_writer_release(&writer);
    close(fd);
}

/* So many that the disk is set to work in between, and the run is cut where enough is held. */
static void test_long_run(void **unused)
{
    (void)unused;
    fd = make("long");
    run_writer_init(&writer, fd, "long", 1);
    for (uint32_t pgno = 1; pgno <= 5000; pgno++)
        put(pgno, (char)(pgno % 251));
    assert_true(size_of("long") > 4900 * SIZE);
    assert_true(size_of("long") < 5000 * SIZE);
    ok(run_writer_flush(&writer, &failure));
    for (uint32_t pgno = 1; pgno <= 5000; pgno++)
        assert_int_equal(byte_at("long", pgno), (char)(pgno % 251));
    run_writer_release(&writer);
    close(fd);
}

static void test_twin(void **unused)
{
    (void)unused;
    fd = make("file");
    run_writer_init(&writer, fd, "file", 0);
    run_writer_take_twin(&writer, make("twin"));
    put(1, 'a');
    put(3, 'b');
    ok(run_writer_flush(&writer, &failure));
    assert_int_equal(size_of("twin"), 3 * SIZE);
    assert_int_equal(byte_at("twin", 1), 'a');
    assert_int_equal(byte_at("twin", 3), 'b');
    /* Another takes its place; that one cannot be written to, which harms nobody. */
    run_writer_take_twin(&writer, open("/dev/full", O_WRONLY));
    put(1, 'c');
    put(3, 'd');
    put(4, 'e');
    ok(run_writer_flush(&writer, &failure));
    assert_int_equal(byte_at("file", 1), 'c');
    assert_int_equal(byte_at("file", 4), 'e');
    assert_int_equal(byte_at("twin", 1), 'a');
    run_writer_release(&writer);
    close(fd);
}

static void test_failures(void **unused)
{
    uint8_t page[SIZE] = {0};

    (void)unused;
    fd = open("/dev/full", O_WRONLY);
    run_writer_init(&writer, fd, "the file", 1);
    put(1, 'a');
    assert_int_equal(run_writer_put(&writer, 8 * SIZE, page, SIZE, &failure), ERR_DISK_FULL);
    assert_non_null(strstr(failure.text, "writing the file"));
    ok(run_writer_flush(&writer, &failure));
    put(1, 'a');
    assert_int_equal(run_writer_flush(&writer, &failure), ERR_DISK_FULL);
    run_writer_release(&writer);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_long_run),
        cmocka_unit_test(test_twin),
        cmocka_unit_test(test_failures),
    };

    return cmocka_run_group_tests(tests, sample_setup, sample_teardown);
}
