/* Memory and processes that hold keys. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/prctl.h>
#include <uv.h>

#include "lockstore/secret.h"
#include "lockstore/store.h"
#include "protocol/base/error.h"

static void test_copies(void **state)
{
    char *copy = secret_copy("key\0more", 3);

    (void)state;
    assert_string_equal(copy, "key");
    secret_free(copy);
    secret_free(NULL);
}

static void test_heap(void **state)
{
    char *memory = secret_heap_realloc(NULL, 4);

    (void)state;
    memcpy(memory, "abcd", 4);
    memory = secret_heap_realloc(memory, 100000);
    assert_memory_equal(memory, "abcd", 4);
    memory = secret_heap_realloc(memory, 2);
    assert_memory_equal(memory, "ab", 2);
    secret_heap_free(memory);
    secret_heap_free(NULL);
}

static void closed(void *arg)
{
    *(int *)arg = 1;
}

/* A process with a store leaves no core file. */
static void test_process(void **state)
{
    struct error error = {0};
    struct store *store;
    uv_loop_t loop;
    int is_closed = 0;

    (void)state;
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    uv_loop_init(&loop);
    setenv("AWS_CONFIG_FILE", "/dev/null", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    assert_int_equal(store_open(&store, &loop, "s3://locks/key", &error), 0);
    assert_int_equal(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
    store_close(store, closed, &is_closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(is_closed);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_heap),
        cmocka_unit_test(test_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
