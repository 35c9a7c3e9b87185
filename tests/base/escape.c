/* Text is made safe for a log line, a JSON string and a label; what was well-formed comes back
 * whole. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/escape.h"

#define FFFD "\xef\xbf\xbd"

static const struct {
    const char *text;
    const char *line;
    const char *json;
    const char *label;
} rows[] = {
    {"", "", "", ""},
    {"plain /a.db 100%", "plain /a.db 100%", "plain /a.db 100%", "plain /a.db 100%"},
    {"say \"a\\b\"", "say \"a\\b\"", "say \\\"a\\\\b\\\"", "say \\\"a\\\\b\\\""},
    {"a\nb\r\tc", "a\\nb\\x0d\\x09c", "a\\nb\\r\\tc", "a\\nb\r\tc"},
    {"\b\f\x01\x1f\x7f", "\\x08\\x0c\\x01\\x1f\\x7f", "\\b\\f\\u0001\\u001f\\u007f",
     "\b\f\x01\x1f\x7f"},
    {"\x1b[31mred", "\\x1b[31mred", "\\u001b[31mred", "\x1b[31mred"},
    /* C1 controls steer a terminal too; U+00A0 is the first that does not */
    {"\xc2\x9b\xc2\xa0", "\\xc2\\x9b\xc2\xa0", "\\u009b\xc2\xa0", "\xc2\x9b\xc2\xa0"},
    {"\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9", "\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9",
     "\xe2\x80\xa7\\u2028\\u2029", "\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9"},
    {"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80",
     "\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80"},
    /* no UTF-8: alone, overlong, a surrogate, cut */
    {"a\xff"
     "b",
     "a\\xff"
     "b",
     "a" FFFD "b", "a" FFFD "b"},
    {"\xc0\xaf", "\\xc0\\xaf", FFFD FFFD, FFFD FFFD},
    {"\xed\xa0\x80", "\\xed\\xa0\\x80", FFFD FFFD FFFD, FFFD FFFD FFFD},
    {"\xf0\x9f\x98", "\\xf0\\x9f\\x98", FFFD FFFD FFFD, FFFD FFFD FFFD},
};

static void check(enum escape_style style, const char *text, const char *expected)
{
    size_t len = strlen(text);
    char *exact = malloc(len > 0 ? len : 1); /* exactly: AddressSanitizer sees a read past it */
    char out[100];

    assert_non_null(exact);
    memcpy(exact, text, len);
    memset(out, 'x', sizeof(out));
    assert_int_equal(escape_text(style, exact, len, out, sizeof(out)), strlen(expected));
    assert_string_equal(out, expected);
    free(exact);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check(ESCAPE_LINE, rows[i].text, rows[i].line);
        check(ESCAPE_JSON, rows[i].text, rows[i].json);
        check(ESCAPE_LABEL, rows[i].text, rows[i].label);
    }
}

static void test_a_nul_is_a_control(void **state)
{
    char out[20];

    (void)state;
    escape_text(ESCAPE_JSON, "a\0b", 3, out, sizeof(out));
    assert_string_equal(out, "a\\u0000b");
    escape_text(ESCAPE_LINE, "a\0b", 3, out, sizeof(out));
    assert_string_equal(out, "a\\x00b");
}

/* Every room there can be: never inside a character or an escape, always with its NUL. */
static void test_cut(void **state)
{
    static const char text[] = "a\"\xe2\x82\xac\x01z";
    static const size_t lengths[] = {0, 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 6, 6, 12, 13, 13};

    (void)state;
    for (size_t room = 0; room < sizeof(lengths) / sizeof(lengths[0]); room++) {
        char *out = malloc(room > 0 ? room : 1);

        assert_non_null(out);
        assert_int_equal(escape_text(ESCAPE_JSON, text, sizeof(text) - 1, out, room),
                         lengths[room]);
        if (room > 0)
            assert_int_equal(strlen(out), lengths[room]);
        free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_a_nul_is_a_control),
        cmocka_unit_test(test_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
