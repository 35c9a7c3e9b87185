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

/* Call log_event with stderr going to a pipe, and return what came out. */
static const char *logged_event(enum log_level level, const struct log_fields *fields, const char *text)
{
    static char out[8192];
    int saved = dup(STDERR_FILENO);
    int ends[2];
    ssize_t len;

    assert_int_equal(pipe(ends), 0);
    assert_true(saved >= 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    if (fields != NULL)
        log_event(level, fields, "%s", text);
    else
        log_line(level, "%s", text);
    dup2(saved, STDERR_FILENO); /* closes the last writing end */
    close(saved);
    len = read(ends[0], out, sizeof(out) - 1);
    assert_true(len >= 0);
    close(ends[0]);
    out[len] = '\0';
    return out;
}

static const char *logged(enum log_level level, const char *text)
{
    return logged_event(level, NULL, text);
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

/* A daemon's text: time to the millisecond, level, and nothing that makes a second line or steers a terminal. */
static void test_text_format(void **state)
{
    static const struct log_fields fields = {.database = "not shown"};
    const char *out;

    (void)state;
    log_setup(LOG_INFO, "lockstep-origin", 0);
    log_set_format(LOG_TEXT);
    out = logged_event(LOG_WARNING, &fields, "a\nb\x1b[31m\xff");
    assert_int_equal(strlen(out), 24 + strlen(" warning lockstep-origin: a\\nb\\x1b[31m\\xff\n"));
    assert_true(out[10] == 'T' && out[19] == '.' && out[23] == 'Z');
    assert_string_equal(out + 24, " warning lockstep-origin: a\\nb\\x1b[31m\\xff\n");
    assert_string_equal(logged(LOG_DEBUG, "dropped"), "");
    log_setup(LOG_INFO, NULL, 0);
    assert_string_equal(logged(LOG_INFO, "plain again"), "plain again\n");
}

static void test_json_format(void **state)
{
    static const struct log_fields fields = {.event = "push", .database = "a\"b.db", .client = "worker", .instance = "\xff", .peer = "10.0.0.1:4",
                                             .outcome = "NONE", .version = 7};
    static const struct log_fields end = {.is_end = 1, .received = 18446744073709551615u};
    static const char head[] = "{\"time\":\"2026-11-21T20:04:06.123Z\"";
    const char *out;

    (void)state;
    log_setup(LOG_INFO, "lockstep-origin", 0);
    log_set_format(LOG_JSON);
    out = logged(LOG_INFO, "x\"\n\xe2\x82");
    assert_string_equal(out + strlen(head), ",\"level\":\"info\",\"program\":\"lockstep-origin\",\"message\":\"x\\\"\\n\xef\xbf\xbd\xef\xbf\xbd\"}\n");
    assert_memory_equal(out, head, strlen("{\"time\":\""));
    assert_true(out[strlen(head) - 2] == 'Z' && out[strlen(head) - 6] == '.');
    out = logged_event(LOG_ERROR, &fields, "m");
    assert_string_equal(out + strlen(head), ",\"level\":\"error\",\"program\":\"lockstep-origin\",\"event\":\"push\",\"database\":\"a\\\"b.db\",\"client\":\"worker\","
                                            "\"instance\":\"\xef\xbf\xbd\",\"peer\":\"10.0.0.1:4\",\"outcome\":\"NONE\",\"version\":7,\"message\":\"m\"}\n");
    out = logged_event(LOG_INFO, &end, "");
    assert_string_equal(out + strlen(head), ",\"level\":\"info\",\"program\":\"lockstep-origin\",\"bytes_sent\":0,\"bytes_received\":18446744073709551615,"
                                            "\"milliseconds\":0,\"message\":\"\"}\n");
}

/* The longest of everything, all of it to be escaped: still one whole object. */
static void test_json_stays_whole(void **state)
{
    char text[3001];
    const struct log_fields fields = {.event = "push", .database = text, .client = text, .instance = text, .peer = text, .outcome = "FOREIGN_LINEAGE",
                                      .version = UINT64_MAX, .is_end = 1, .sent = UINT64_MAX, .received = UINT64_MAX, .milliseconds = UINT64_MAX};
    const char *out;
    size_t len;

    (void)state;
    memset(text, 1, sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_setup(LOG_INFO, text, 0);
    log_set_format(LOG_JSON);
    out = logged_event(LOG_INFO, &fields, text);
    len = strlen(out);
    assert_true(len > 3500 && len <= 4096);
    assert_string_equal(out + len - 9, "\\u0001\"}\n");
    assert_non_null(strstr(out, "\",\"outcome\":\"FOREIGN_LINEAGE\",\"version\":18446744073709551615,\"bytes_sent\""));
    assert_non_null(strstr(out, "\"milliseconds\":18446744073709551615,\"message\":\"\\u0001"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sanitize),
        cmocka_unit_test(test_nul_is_taken_out),
        cmocka_unit_test(test_sanitize_cuts_between_characters),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_text_format),
        cmocka_unit_test(test_json_format),
        cmocka_unit_test(test_json_stays_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
