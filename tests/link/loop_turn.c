/* loop_turn: what does not fit into a turn is done in order, in the next ones. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "protocol/link/loop_turn.h"

#define COUNT 6

static uv_loop_t loop;
static struct loop_turn *turn;
static struct {
    struct turn_wait wait;
    char name;
    int again; /* times that it gets in line again */
} users[COUNT];
static char served[32]; /* names, in order */

static void on_time(void *user)
{
    size_t i = (size_t)user;
    size_t len = strlen(served);

    assert_false(users[i].wait.is_waiting);
    assert_true(len + 1 < sizeof(served));
    served[len] = users[i].name;
    if (users[i].again-- > 0)
        loop_turn_wait(turn, users[i].wait.kind, &users[i].wait);
}

static void set_up(uint64_t handshake, uint64_t brief)
{
    const uint64_t ages[TURN_KINDS] = {[TURN_HANDSHAKE] = handshake, [TURN_SHORT] = brief};

    assert_int_equal(uv_loop_init(&loop), 0);
    turn = loop_turn_new(&loop, ages);
    assert_non_null(turn);
    memset(served, 0, sizeof(served));
    memset(users, 0, sizeof(users));
    for (size_t i = 0; i < COUNT; i++) {
        users[i].wait.on_time = on_time;
        users[i].wait.user = (void *)i;
        users[i].name = (char)('a' + i);
    }
}

/* Nobody waits any more, so nothing but the closing keeps the loop going. */
static void tear_down(void)
{
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    loop_turn_close(turn);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void get_in_line(enum turn_kind kind, const char *names)
{
    for (; *names != '\0'; names++)
        loop_turn_wait(turn, kind, &users[*names - 'a'].wait);
}

static void assert_next_turn(const char *names)
{
    memset(served, 0, sizeof(served));
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_string_equal(served, names);
}

static void test_without_time_the_first_of_each_kind_is_served(void **state)
{
    (void)state;
    set_up(0, 0);
    assert_false(loop_turn_has_time(turn, TURN_HANDSHAKE));
    assert_false(loop_turn_has_time(turn, TURN_SHORT));
    get_in_line(TURN_SHORT, "abc");
    get_in_line(TURN_HANDSHAKE, "de");
    /* Once is enough. */
    get_in_line(TURN_SHORT, "a");
    assert_next_turn("da");
    assert_next_turn("eb");
    assert_next_turn("c");
    assert_next_turn("");
    tear_down();
}

static void test_with_time_all_are(void **state)
{
    (void)state;
    set_up(UINT64_MAX, UINT64_MAX);
    assert_true(loop_turn_has_time(turn, TURN_SHORT));
    get_in_line(TURN_SHORT, "abc");
    /* Whoever comes now does not overtake those, but others may go on. */
    assert_false(loop_turn_has_time(turn, TURN_SHORT));
    assert_true(loop_turn_has_time(turn, TURN_HANDSHAKE));
    assert_next_turn("abc");
    assert_true(loop_turn_has_time(turn, TURN_SHORT));
    tear_down();
}

static void test_one_kind_has_time(void **state)
{
    (void)state;
    set_up(0, UINT64_MAX);
    get_in_line(TURN_HANDSHAKE, "ab");
    get_in_line(TURN_SHORT, "cd");
    assert_next_turn("acd");
    assert_next_turn("b");
    tear_down();
}

static void test_who_comes_again_goes_behind(void **state)
{
    (void)state;
    set_up(0, 0);
    users[0].again = 2;
    get_in_line(TURN_SHORT, "abc");
    assert_next_turn("a");
    assert_next_turn("b");
    assert_next_turn("c");
    assert_next_turn("a");
    assert_next_turn("a");
    assert_next_turn("");
    tear_down();
}

static void test_leaving(void **state)
{
    (void)state;
    set_up(0, 0);
    get_in_line(TURN_SHORT, "abcdef");
    for (const char *name = "cfa"; *name != '\0'; name++) {
        loop_turn_leave(turn, &users[*name - 'a'].wait);
        loop_turn_leave(turn, &users[*name - 'a'].wait);
    }
    assert_next_turn("b");
    get_in_line(TURN_SHORT, "a");
    assert_next_turn("d");
    assert_next_turn("e");
    /* The last one that waits goes. */
    loop_turn_leave(turn, &users[0].wait);
    assert_next_turn("");
    tear_down();
}

static void test_a_turn_has_an_age(void **state)
{
    (void)state;
    set_up(1, UINT64_MAX);
    /* The first who asks does so at its beginning. */
    assert_true(loop_turn_has_time(turn, TURN_HANDSHAKE));
    while (loop_turn_has_time(turn, TURN_HANDSHAKE))
        ;
    assert_true(loop_turn_has_time(turn, TURN_SHORT));
    /* A loop turns only while there is something to do. */
    get_in_line(TURN_SHORT, "a");
    assert_next_turn("a");
    assert_true(loop_turn_has_time(turn, TURN_HANDSHAKE));
    tear_down();
}

static void test_no_turn(void **state)
{
    (void)state;
    assert_true(loop_turn_has_time(NULL, TURN_HANDSHAKE));
    loop_turn_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_time_the_first_of_each_kind_is_served),
        cmocka_unit_test(test_with_time_all_are),
        cmocka_unit_test(test_one_kind_has_time),
        cmocka_unit_test(test_who_comes_again_goes_behind),
        cmocka_unit_test(test_leaving),
        cmocka_unit_test(test_a_turn_has_an_age),
        cmocka_unit_test(test_no_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
