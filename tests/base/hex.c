/* Hexadecimal digits, there and back. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/base/hex.h"

static void test_every_byte(void **state)
{
    (void)state;
    for (int value = 0; value < 256; value++) {
        uint8_t byte = (uint8_t)value;
        uint8_t back = (uint8_t)~byte;
        char text[3];

        assert_ptr_equal(hex_encode(&byte, 1, text), text);
        assert_int_equal(strlen(text), 2);
        assert_int_equal(hex_decode(text, 2, &back, 1), 0);
        assert_int_equal(back, byte);
    }
}

static void test_encode(void **state)
{
    char text[9];

    (void)state;
    assert_string_equal(hex_encode("\x00\x1f\xa0\xff", 4, text), "001fa0ff");
    assert_string_equal(hex_encode("", 0, text), "");
}

static void test_decode(void **state)
{
    static const struct {
        const char *text;
        size_t len; /* of the bytes that are asked for */
        int result;
    } rows[] = {
        {"", 0, 0},      {"00ff", 2, 0}, {"aAbB", 2, 0},      {"00f", 2, -1}, {"00fff", 2, -1},
        {"00ff", 1, -1}, {"00", 2, -1},  {"0g", 1, -1},       {"g0", 1, -1},  {" 0", 1, -1},
        {"0x", 1, -1},   {"/0", 1, -1},  {":0", 1, -1},       {"@0", 1, -1},  {"G0", 1, -1},
        {"`0", 1, -1},   {"-1", 1, -1},  {"\xc3\xbc", 1, -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t bytes[4];

        if (hex_decode(rows[i].text, strlen(rows[i].text), bytes, rows[i].len) != rows[i].result)
            fail_msg("\"%s\" as %zu bytes", rows[i].text, rows[i].len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_decode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
