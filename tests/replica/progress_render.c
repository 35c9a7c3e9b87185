/* The lines that tell where a command stands, from numbers alone. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "replica/progress_render.h"

static struct progress_view moving(void)
{
    struct progress_view view = {.phase = "moving",
                                 .doing = "pulling",
                                 .pages = 1234,
                                 .pages_total = 25745,
                                 .sent = 34000,
                                 .received = 1200000,
                                 .rate = 4500000,
                                 .phase_ms = 2000,
                                 .total_ms = 2500};

    return view;
}

static void test_bytes(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {{0, "0 bytes"},         {999, "999 bytes"},         {1000, "1.0 kB"},
                {1234567, "1.2 MB"},    {99940000, "99.9 MB"},      {99960000, "100 MB"},
                {999600000, "1.0 GB"},  {455852032, "456 MB"},      {UINT64_MAX, "18.4 EB"}};
    char text[32];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(progress_render_bytes(rows[i].bytes, text), rows[i].text);
}

static void test_time(void **state)
{
    char text[32];

    (void)state;
    assert_string_equal(progress_render_time(0, text), "0:00");
    assert_string_equal(progress_render_time(59499, text), "0:59");
    assert_string_equal(progress_render_time(59500, text), "1:00");
    assert_string_equal(progress_render_time(3599000, text), "59:59");
    assert_string_equal(progress_render_time(3723000, text), "1:02:03");
}

static void test_left(void **state)
{
    struct progress_view view = moving();

    (void)state;
    /* 1234 pages took two seconds. */
    assert_int_equal(progress_left_ms(&view), (int64_t)(2000.0 * (25745 - 1234) / 1234));
    view.pages = 25745;
    assert_int_equal(progress_left_ms(&view), 0);
    /* More than were told of: no negative time. */
    view.pages = 30000;
    assert_int_equal(progress_left_ms(&view), 0);
    /* Where the stream is made already, bytes count. */
    view.bytes_total = 1000;
    view.moved = 250;
    assert_int_equal(progress_left_ms(&view), 6000);
    view.moved = 0;
    assert_int_equal(progress_left_ms(&view), -1);
    view = moving();
    view.pages = 0;
    assert_int_equal(progress_left_ms(&view), -1);
    view = moving();
    view.pages_total = 0;
    assert_int_equal(progress_left_ms(&view), -1);
    /* Too early to say. */
    view = moving();
    view.phase_ms = 100;
    assert_int_equal(progress_left_ms(&view), -1);
}

static void test_text(void **state)
{
    struct progress_view view = moving();
    char text[400];

    (void)state;
    progress_render_text(&view, 400, text, sizeof(text));
    assert_string_equal(text, "pulling, 1,234 of 25,745 pages (4%), 1.2 MB, 4.5 MB/s, 0:40 left");
    view = (struct progress_view){.phase = "locking", .doing = "waiting for the lock, held by ams-1", .phase_ms = 34000};
    progress_render_text(&view, 400, text, sizeof(text));
    assert_string_equal(text, "waiting for the lock, held by ams-1, for 0:34");
    view = (struct progress_view){.phase = "connecting", .doing = "pushing: waiting for the origin", .place = 3, .sent = 300};
    progress_render_text(&view, 400, text, sizeof(text));
    assert_string_equal(text, "pushing: waiting for the origin, place 3 in the queue, 300 bytes, for 0:00");
}

/* Whatever the terminal's width, the line stays within it, and no part is cut but the first. */
static void test_width(void **state)
{
    struct progress_view view = moving();
    char whole[400];
    char text[400];

    (void)state;
    progress_render_text(&view, 400, whole, sizeof(whole));
    for (unsigned columns = 0; columns < 90; columns++) {
        progress_render_text(&view, columns, text, sizeof(text));
        assert_true(strlen(text) < (columns > 2 ? columns : 2));
        if (columns > strlen(whole))
            assert_string_equal(text, whole);
    }
    progress_render_text(&view, 40, text, sizeof(text));
    assert_string_equal(text, "pulling, 1,234 of 25,745 pages (4%)");
    /* A small buffer is no fault either. */
    progress_render_text(&view, 400, text, 12);
    assert_true(strlen(text) < 12);
}

static void test_json(void **state)
{
    struct progress_view view = moving();
    char text[1024];

    (void)state;
    progress_render_json(&view, text, sizeof(text));
    assert_string_equal(text, "{\"v\":1,\"kind\":\"progress\",\"phase\":\"moving\",\"pages\":1234,\"pages_total\":25745,"
                              "\"bytes_sent\":34000,\"bytes_received\":1200000,\"bytes_per_second\":4500000,"
                              "\"phase_seconds\":2.0,\"seconds\":2.5,\"place\":0,\"seconds_left\":39.726}\n");
    view.pages_total = 0;
    progress_render_json(&view, text, sizeof(text));
    assert_non_null(strstr(text, "\"seconds_left\":null}\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes), cmocka_unit_test(test_time),  cmocka_unit_test(test_left),
        cmocka_unit_test(test_text),  cmocka_unit_test(test_width), cmocka_unit_test(test_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
