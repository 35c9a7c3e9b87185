/* What the far side says cannot steer a terminal, and a line of the log is one write of one line.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/base/log.h"

#define ESC "\x1b"

/* A text and what is left of it. Split literals end a hex escape. */
static const struct {
    const char *text;
    const char *clean;
} rows[] = {
    {"", ""},
    {"plain text, 100 %", "plain text, 100 %"},
    {"two\nlines\tand a tab", "two\nlines\tand a tab"},
    {"return\rbell\a back\b\f\v\x7f", "returnbell back"},
    /* control sequences */
    {ESC "[31mred" ESC "[0m", "red"},
    {ESC "[2J" ESC "[1;1Hgone", "gone"},
    {ESC "[?25lhidden" ESC "[!p", "hidden"},
    {"cut" ESC "[31", "cut"},
    {"cut" ESC "[", "cut"},
    {"cut" ESC, "cut"},
    {ESC "[3\nnext line", "\nnext line"},
    /* control strings: a title, a hyperlink, a clipboard, DCS, SOS, PM, APC */
    {ESC "]0;title\atext", "text"},
    {ESC "]0;title" ESC "\\text", "text"},
    {ESC "]8;;http://x/" ESC "\\link" ESC "]8;;" ESC "\\", "link"},
    {ESC "]52;c;ZXZpbA==\atext", "text"},
    {ESC "Pq#0" ESC "\\a" ESC "Xb" ESC "\\c" ESC "^d" ESC "\\e" ESC "_f" ESC "\\g", "aceg"},
    {"cut" ESC "]0;title" ESC, "cut"},
    {ESC "]0;without an end\nnext line", "\nnext line"},
    {ESC "]0;cut by " ESC "[31mred", "red"},
    /* short ones: reset, character sets, keypad, alignment test */
    {ESC "cx" ESC "(0y" ESC ")Bz" ESC "=" ESC "#8", "xyz"},
    {ESC ESC "[31mred", "red"},
    {ESC "\nx", "\nx"},
    /* C1 controls, bare and as UTF-8 */
    {"a\x9b"
     "31mb",
     "a31mb"},
    {"a\xc2\x9b"
     "31mb\xc2\x80\xc2\x9f",
     "a31mb"},
    {"a\xc2\xa0"
     "b",
     "a\xc2\xa0"
     "b"},
    /* UTF-8 of every length, first and last of each */
    {"\xc2\xa1\xdf\xbf", "\xc2\xa1\xdf\xbf"},
    {"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf",
     "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"},
    {"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
    /* and what is none: overlong, surrogates, beyond the last, cut, alone */
    {"\xc0\xafx\xc1\xbfx\xe0\x9f\xbfx\xf0\x8f\xbf\xbfx", "xxxx"},
    {"\xed\xa0\x80x\xed\xbf\xbfx", "xx"},
    {"\xf4\x90\x80\x80x\xf5\x80\x80\x80x\xff\xfex", "xxx"},
    {"\xc3x\xe2\x82x\xf0\x9f\x98x\x80x", "xxxx"},
    {"cut \xe2\x82", "cut "},
    /* an escape sequence inside a broken sequence */
    {"\xe2" ESC "[31m\x82red", "red"},
};

static void test_sanitize(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = strlen(rows[i].text);
        char *text = malloc(len > 0 ? len : 1); /* exactly: AddressSanitizer sees a read past it */
        char out[200];

        assert_non_null(text);
        memcpy(text, rows[i].text, len);
        memset(out, 'x', sizeof(out));
        assert_int_equal(log_sanitize(text, len, out, sizeof(out)), strlen(rows[i].clean));
        assert_string_equal(out, rows[i].clean);
        free(text);
    }
}

static void test_nul_is_taken_out(void **state)
{
    char out[10];

    (void)state;
    assert_int_equal(log_sanitize("a\0b", 3, out, sizeof(out)), 2);
    assert_string_equal(out, "ab");
}

/* It ends where there is no more room, never inside a character. */
static void test_sanitize_cuts_between_characters(void **state)
{
    static const char text[] = "a\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80z";
    static const size_t lengths[] = {0, 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};

    (void)state;
    for (size_t room = 0; room < sizeof(lengths) / sizeof(lengths[0]); room++) {
        char *out = malloc(room > 0 ? room : 1);

        assert_non_null(out);
        assert_int_equal(log_sanitize(text, sizeof(text) - 1, out, room), lengths[room]);
        if (room > 0)
            assert_int_equal(strlen(out), lengths[room]);
        free(out);
    }
}

/* Call log_line with stderr going to a pipe, and return what came out. */
static const char *logged(enum log_level level, const char *text)
{
    static char out[4096];
    int saved = dup(STDERR_FILENO);
    int ends[2];
    ssize_t len;

    assert_int_equal(pipe(ends), 0);
    assert_true(saved >= 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    log_line(level, "%s", text);
    dup2(saved, STDERR_FILENO); /* closes the last writing end */
    close(saved);
    len = read(ends[0], out, sizeof(out) - 1);
    assert_true(len >= 0);
    close(ends[0]);
    out[len] = '\0';
    return out;
}

static void test_lines(void **state)
{
    char long_text[3001];
    const char *out;

    (void)state;
    log_setup(LOG_INFO, NULL, 0);
    assert_string_equal(logged(LOG_ERROR, "went wrong"), "went wrong\n");
    assert_string_equal(logged(LOG_INFO, ""), "\n");
    assert_string_equal(logged(LOG_DEBUG, "dropped"), "");
    log_setup(LOG_WARNING, "iad-1", 0);
    assert_string_equal(logged(LOG_WARNING, "slow"), "iad-1: slow\n");
    assert_string_equal(logged(LOG_INFO, "dropped"), "");

    log_setup(LOG_INFO, "iad-1", 1);
    out = logged(LOG_INFO, "x");
    assert_int_equal(strlen(out), 20 + 1 + 8 + 1);
    assert_true(out[10] == 'T' && out[19] == 'Z');
    assert_string_equal(out + 20, " iad-1: x\n");

    memset(long_text, 'y', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    log_setup(LOG_INFO, long_text, 1);
    out = logged(LOG_INFO, long_text);
    assert_true(strlen(out) > 2000 && strlen(out) <= 2048);
    assert_int_equal(out[strlen(out) - 1], '\n');
    assert_int_equal(out[21 + 200], ':');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sanitize),
        cmocka_unit_test(test_nul_is_taken_out),
        cmocka_unit_test(test_sanitize_cuts_between_characters),
        cmocka_unit_test(test_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
