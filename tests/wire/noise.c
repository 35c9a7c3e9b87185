#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/error.h"
#include "protocol/wire/noise.h"

static void test_texts(void **state)
{
    static const struct {
        const char *data;
        size_t len;
        const char *advice;
        const char *text;
    } rows[] = {
        {"Welcome to db1!\n", 16, NULL,
         "what comes from the origin is not Lockstep's protocol; it begins with \"Welcome to "
         "db1!\""},
        {"\r\n  two\nlines\t.\n", 16, "ask",
         "what comes from the origin is not Lockstep's protocol; it begins with \"two lines .\"; "
         "ask"},
        {"\x1b[31mred\x1b[0m alert", 18, NULL,
         "what comes from the origin is not Lockstep's protocol; it begins with \"red alert\""},
        {"hi", 2, NULL,
         "what comes from the origin is not Lockstep's protocol; it begins with \"hi\""},
        {"\x16\x03\x01\x02\x00\x01\xff", 7, NULL,
         "what comes from the origin is not Lockstep's protocol; it begins with the bytes "
         "160301020001ff"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct error error = {0};

        assert_int_equal(noise_refuse((const uint8_t *)rows[i].data, rows[i].len, "the origin",
                                      rows[i].advice, &error),
                         ERR_PROTOCOL);
        assert_string_equal(error.text, rows[i].text);
    }
}

/* A flood is shown as its beginning, and cut between characters. */
static void test_long(void **state)
{
    static const char e_acute[] = "\xc3\xa9";
    uint8_t data[5001];
    struct error error = {0};

    (void)state;
    data[0] = 'x';
    for (size_t i = 1; i < sizeof(data); i++)
        data[i] = (uint8_t)e_acute[(i - 1) % 2];
    noise_refuse(data, sizeof(data), "the origin", NULL, &error);
    assert_in_range(strlen(error.text), 100, 300);
    assert_int_equal(error.text[strlen(error.text) - 1], '"');
    assert_int_equal((unsigned char)error.text[strlen(error.text) - 2], 0xa9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
