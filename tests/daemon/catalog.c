/* catalog: names of databases, and where they lead. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "origin/catalog.h"
#include "protocol/base/error.h"

static void test_names(void **state)
{
    static const char *const good[] = {"a", "a.db", "dir/a.db", "a b", "lockstep"};
    static const char *const bad[] = {"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/.hidden", "a.db-wal", "a.db-shm",
                                      "a.db-journal", "a.db-lockstep", "a.db-lockstep-history", "a.db.lockstep-partial"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(catalog_name_is_good(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (catalog_name_is_good(bad[i]))
            fail_msg("%s is taken for a name", bad[i]);
    }
}

static void test_find(void **state)
{
    char root[] = "/tmp/lockstep-catalog-XXXXXX";
    struct catalog catalog = {.count = 0};
    struct error error = {0};
    char path[128];
    char *found;

    (void)state;
    assert_non_null(mkdtemp(root));
    snprintf(path, sizeof(path), "%s/dir", root);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/out", root);
    assert_int_equal(symlink("/", path), 0);

    assert_int_equal(catalog_add(&catalog, "org=/data/org=1.db", &error), 0);
    assert_int_equal(catalog_add(&catalog, "org", &error), ERR_USAGE);
    assert_int_equal(catalog_add(&catalog, "=x", &error), ERR_USAGE);
    assert_int_equal(catalog_add(&catalog, "x=", &error), ERR_USAGE);
    assert_int_equal(catalog_find(&catalog, "org", &found, &error), 0);
    assert_string_equal(found, "/data/org=1.db");
    free(found);
    assert_int_equal(catalog_find(&catalog, "or", &found, &error), ERR_NO_DATABASE);
    assert_int_equal(catalog_find(&catalog, "dir/a.db", &found, &error), ERR_NO_DATABASE);

    catalog.root = root;
    assert_int_equal(catalog_find(&catalog, "dir/a.db", &found, &error), 0);
    snprintf(path, sizeof(path), "%s/dir/a.db", root);
    assert_string_equal(found, path);
    free(found);
    assert_int_equal(catalog_find(&catalog, "missing/a.db", &found, &error), ERR_NO_DATABASE);
    assert_int_equal(catalog_find(&catalog, "out/etc/passwd", &found, &error), ERR_NOT_ALLOWED);
    assert_int_equal(catalog_find(&catalog, "dir/../dir/a.db", &found, &error), ERR_NO_DATABASE);

    snprintf(path, sizeof(path), "%s/out", root);
    unlink(path);
    snprintf(path, sizeof(path), "%s/dir", root);
    rmdir(path);
    rmdir(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_find)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
