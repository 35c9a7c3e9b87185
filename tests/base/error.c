/* Errors: codes, names and statuses belong together; texts grow outwards and are cut, never
 * overrun. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/error.h"

static void test_set_and_wrap(void **state)
{
    struct error error;

    (void)state;
    error_init(&error);
    assert_int_equal(error.code, ERR_NONE);
    assert_string_equal(error.text, "");
    assert_int_equal(error_set(&error, ERR_IO, "short read of %d bytes", 7), ERR_IO);
    assert_int_equal(error_wrap(&error, "reading page %d", 3), ERR_IO);
    assert_int_equal(error_wrap(&error, "pulling %s", "org.db"), ERR_IO);
    assert_int_equal(error.code, ERR_IO);
    assert_string_equal(error.text, "pulling org.db: reading page 3: short read of 7 bytes");
    assert_int_equal(error_set(&error, ERR_BUSY, "locked"), ERR_BUSY);
    assert_string_equal(error.text, "locked");
}

static void test_what_was_said_is_not_said_again(void **state)
{
    struct error error = {0};

    (void)state;
    error_set(&error, ERR_IO, "reading org.db: short");
    assert_int_equal(error_wrap(&error, "reading %s", "org.db"), ERR_IO);
    assert_string_equal(error.text, "reading org.db: short");
    error_wrap(&error, "reading %s", "org");
    assert_string_equal(error.text, "reading org: reading org.db: short");
}

static void test_errno(void **state)
{
    static const struct {
        int given;
        int errno_value;
        int code;
        const char *text;
    } rows[] = {
        {ERR_IO, ENOENT, ERR_IO, "opening x: No such file or directory"},
        {ERR_IO, ENOSPC, ERR_DISK_FULL, "opening x: No space left on device; make room on that file system, then run the same command again"},
        {ERR_IO, EDQUOT, ERR_DISK_FULL, "opening x: Disk quota exceeded; delete files or have the quota raised, then run the same command again"},
        {ERR_NOT_ALLOWED, EACCES, ERR_NOT_ALLOWED, "opening x: Permission denied; see who owns it and what its permissions are"},
        {ERR_IO, EPERM, ERR_IO, "opening x: Operation not permitted; see who owns it and what its permissions are"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct error error = {0};

        assert_int_equal(
            error_set_errno(&error, rows[i].given, rows[i].errno_value, "opening %s", "x"),
            rows[i].code);
        assert_int_equal(error.code, rows[i].code);
        assert_string_equal(error.text, rows[i].text);
        assert_int_equal(error_set_errno(NULL, rows[i].given, rows[i].errno_value, "x"),
                         rows[i].code);
    }
}

static void test_text_is_optional(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, ERR_TIMEOUT, "x"), ERR_TIMEOUT);
    assert_int_equal(error_wrap(NULL, "x"), ERR_INTERNAL); /* there is no code to return */
}

/* What does not fit is cut at the end: what was being done comes first and stays. */
static void test_long_texts_are_cut(void **state)
{
    char letters[2001];
    struct error error;

    (void)state;
    memset(letters, 'x', sizeof(letters) - 1);
    letters[sizeof(letters) - 1] = '\0';
    error_set(&error, ERR_IO, "%s", letters);
    assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
    error_wrap(&error, "reading");
    assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
    assert_memory_equal(error.text, "reading: xxx", 12);
    error_wrap(&error, "%s", letters);
    assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
    error_set_errno(&error, ERR_IO, EIO, "%s", letters);
    assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
}

/* Scripts tell errors apart by their exit status, the wire by their name: each has its own. */
static void test_names_and_statuses(void **state)
{
    (void)state;
    assert_string_equal(error_name(ERR_NONE), "NONE");
    assert_int_equal(error_exit_status(ERR_NONE), 0);
    for (int code = 1; code < ERR_COUNT; code++) {
        int status = error_exit_status(code);

        assert_int_equal(error_from_name(error_name(code), strlen(error_name(code))), code);
        assert_true(strlen(error_name(code)) < 32); /* what an ERROR message carries */
        assert_true(strlen(error_meaning(code)) > 0);
        assert_true(status >= 64 && status < 126);
        for (int other = 1; other < code; other++)
            assert_int_not_equal(error_exit_status(other), status);
    }
    assert_int_equal(error_exit_status(ERR_STALE_BASE), 82);
    assert_string_equal(error_name(ERR_STALE_BASE), "STALE_BASE");
}

static void test_unknown_codes_and_names(void **state)
{
    (void)state;
    assert_string_equal(error_name(-1), "INTERNAL");
    assert_string_equal(error_name(ERR_COUNT), "INTERNAL");
    assert_int_equal(error_exit_status(ERR_COUNT), 70);
    assert_string_equal(error_meaning(ERR_COUNT), error_meaning(ERR_INTERNAL));
    assert_int_equal(error_from_name("NOT_INVENTED_YET", 16), ERR_INTERNAL);
    assert_int_equal(error_from_name("", 0), ERR_INTERNAL);
    assert_int_equal(error_from_name("NONE", 4), ERR_INTERNAL); /* a failure is never "no error" */
    assert_int_equal(error_from_name("BUSYBODY", 4), ERR_BUSY); /* the length counts, not a NUL */
    assert_int_equal(error_from_name("BUSYBODY", 8), ERR_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_and_wrap),
        cmocka_unit_test(test_what_was_said_is_not_said_again), cmocka_unit_test(test_errno),
        cmocka_unit_test(test_text_is_optional),   cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_names_and_statuses), cmocka_unit_test(test_unknown_codes_and_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
