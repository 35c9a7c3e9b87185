/* late_library: the functions of a library that is there can be called; one that is missing, or lacks something, is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "protocol/base/error.h"
#include "protocol/base/late_library.h"

#define CALLS(X) X(cbrt) X(hypot)

static struct {
    CALLS(LATE_FUNCTION)
} lib;
static const struct late_symbol symbols[] = {CALLS(LATE_SYMBOL){NULL, NULL}};

static void functions_can_be_called(void **state)
{
    struct error error = {0};

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(late_library_load("libm.so.6", symbols, &error), 0);
    assert_true(lib.cbrt(27) > 2.99 && lib.cbrt(27) < 3.01);
    assert_true(lib.hypot(3, 4) > 4.99 && lib.hypot(3, 4) < 5.01);
}

static void missing_library_is_named(void **state)
{
    struct error error = {0};

    (void)state;
    assert_int_equal(late_library_load("libnobody-has-this.so.7", symbols, &error), ERR_INTERNAL);
    assert_non_null(strstr(error.text, "libnobody-has-this.so.7"));
}

static void missing_function_is_named(void **state)
{
    void (*pointer)(void) = NULL;
    const struct late_symbol unknown[] = {{"no_such_function", &pointer}, {NULL, NULL}};
    struct error error = {0};

    (void)state;
    assert_int_equal(late_library_load("libm.so.6", unknown, &error), ERR_INTERNAL);
    assert_non_null(strstr(error.text, "libm.so.6"));
    assert_non_null(strstr(error.text, "no_such_function"));
    assert_null(pointer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_can_be_called),
        cmocka_unit_test(missing_library_is_named),
        cmocka_unit_test(missing_function_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
