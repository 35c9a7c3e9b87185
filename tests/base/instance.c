/* instance: the default name from the environment, and the region in a name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/instance.h"

static void test_default(void **state)
{
    static const char *const names[] = {"FLY_REGION", "FLY_APP_NAME", "FLY_MACHINE_ID"};
    static const struct {
        const char *values[3];
        const char *instance;
    } rows[] = {
        {{"ams", "web", "148e"}, "ams/web/148e"},
        {{"ams", NULL, "148e"}, "ams/148e"},
        {{NULL, NULL, "148e"}, "148e"},
    };
    char instance[INSTANCE_MAX + 1];
    char expected[INSTANCE_MAX + 1] = "";

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t j = 0; j < 3; j++) {
            unsetenv(names[j]);
            if (rows[i].values[j] != NULL)
                setenv(names[j], rows[i].values[j], 1);
        }
        assert_string_equal(instance_default(instance), "FLY_MACHINE_ID");
        assert_string_equal(instance, rows[i].instance);
    }
    unsetenv("FLY_MACHINE_ID");
    assert_null(instance_default(instance));
    gethostname(expected, 64);
    snprintf(expected + strlen(expected), 32, "-%ld", (long)getpid());
    assert_string_equal(instance, expected);
}

static void test_region(void **state)
{
    char region[4];

    (void)state;
    assert_string_equal(instance_region("ams/web/148e", region, sizeof(region)), "ams");
    assert_string_equal(instance_region("nightly", region, sizeof(region)), "");
    assert_string_equal(instance_region("", region, sizeof(region)), "");
    assert_string_equal(instance_region("/x", region, sizeof(region)), "");
    assert_string_equal(instance_region("amsterdam/x", region, sizeof(region)), "ams"); /* cut */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_default), cmocka_unit_test(test_region)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
