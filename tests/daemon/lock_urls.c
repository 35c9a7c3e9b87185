/* lock_urls: which lock is whose. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "origin/catalog.h"
#include "origin/lock_urls.h"
#include "protocol/base/error.h"

static const struct {
    const char *name;
    const char *url;
} rows[] = {
    {"org", "s3://bucket/one=two"},
    {"org/main", "file:///locks/100%25/main"},
    {"or", "file:///locks/or.lock?or"},
    {"org2", "file:///locks/org2.lock?org2"},
    {"a/50%25.db", "file:///locks/a/50%2525.db.lock?a/50%2525.db"},
};

static void test_names(void **state)
{
    struct lock_urls urls = {.count = 0};
    struct error error = {0};
    char *url;

    (void)state;
    assert_int_equal(lock_urls_add(&urls, "org=s3://bucket/one=two", &error), 0);
    assert_int_equal(lock_urls_find(&urls, "or", &url, &error), 0);
    assert_null(url);
    assert_int_equal(lock_urls_add(&urls, "file:///locks/{name}.lock?{name}", &error), 0);
    assert_int_equal(lock_urls_add(&urls, "org/main=file:///locks/100%25/main", &error), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(lock_urls_find(&urls, rows[i].name, &url, &error), 0);
        assert_string_equal(url, rows[i].url);
        free(url);
    }
}

static void test_key_of_a_bucket_is_literal(void **state)
{
    struct lock_urls urls = {.count = 0};
    struct error error = {0};
    char *url;

    (void)state;
    assert_int_equal(lock_urls_add(&urls, "s3://bucket/{name}.lock", &error), 0);
    assert_int_equal(lock_urls_find(&urls, "50%.db", &url, &error), 0);
    assert_string_equal(url, "s3://bucket/50%.db.lock");
    free(url);
}

static void test_mistakes(void **state)
{
    static const char *const texts[] = {
        "org",         "=s3://bucket/key", "org=", "org=http://host/key", "s3:bucket",
        "file:{name}", "org=s3://bucket/"};
    struct error error = {0};
    struct lock_urls urls;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        urls = (struct lock_urls){.count = 0};
        assert_int_equal(lock_urls_add(&urls, texts[i], &error), ERR_USAGE);
    }
    urls = (struct lock_urls){.count = 0};
    assert_int_equal(lock_urls_add(&urls, "s3://bucket/a{name}", &error), 0);
    assert_int_equal(lock_urls_add(&urls, "s3://bucket/b{name}", &error), ERR_USAGE);
}

/* One lock for two databases would be no lock of either. */
static void test_several_databases(void **state)
{
    struct catalog one = {.entries = {"org=/data/org.db"}, .count = 1};
    struct catalog two = {.entries = {"org=/data/org.db", "other=/data/other.db"}, .count = 2};
    struct catalog folder = {.root = "/data"};
    struct lock_urls urls = {.count = 0};
    struct error error = {0};

    (void)state;
    assert_int_equal(lock_urls_check(&urls, &folder, &error), 0);
    assert_int_equal(lock_urls_add(&urls, "s3://bucket/org.lock", &error), 0);
    assert_int_equal(lock_urls_check(&urls, &one, &error), 0);
    assert_int_equal(lock_urls_check(&urls, &two, &error), ERR_USAGE);
    assert_non_null(strstr(error.text, "{name}"));
    assert_int_equal(lock_urls_check(&urls, &folder, &error), ERR_USAGE);
    urls.general = "s3://bucket/{name}";
    assert_int_equal(lock_urls_check(&urls, &two, &error), 0);
    assert_int_equal(lock_urls_check(&urls, &folder, &error), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_key_of_a_bucket_is_literal),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_several_databases),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
