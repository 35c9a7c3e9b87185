/* push_queue: turns come in order, one at a time for each database. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "origin/push_queue.h"

#define TICKETS 5

static uv_loop_t loop;
static struct push_queue *queue;
static char turns[64]; /* whose on_turn came, in order */

static void on_turn(void *user)
{
    strcat(turns, user);
}

static void run(void)
{
    turns[0] = '\0';
    uv_run(&loop, UV_RUN_NOWAIT);
}

static void test_turns(void **state)
{
    static char names[TICKETS][2] = {"a", "b", "c", "d", "e"};
    struct push_ticket tickets[TICKETS] = {{.path = NULL}};

    (void)state;
    for (int i = 0; i < TICKETS; i++)
        tickets[i] = (struct push_ticket){.path = i == 3 ? "/other" : "/one", .on_turn = on_turn, .user = names[i]};
    assert_int_equal(push_queue_enter(queue, &tickets[0]), 1);
    assert_int_equal(push_queue_enter(queue, &tickets[0]), 1);
    assert_int_equal(push_queue_enter(queue, &tickets[1]), 0);
    assert_int_equal(push_queue_enter(queue, &tickets[3]), 1);
    assert_int_equal(push_queue_enter(queue, &tickets[2]), 0);
    assert_int_equal(push_queue_enter(queue, &tickets[4]), 0);
    assert_int_equal(push_queue_place(queue, &tickets[0]), 0);
    assert_int_equal(push_queue_place(queue, &tickets[1]), 1);
    assert_int_equal(push_queue_place(queue, &tickets[2]), 2);
    assert_int_equal(push_queue_place(queue, &tickets[4]), 3);
    run();
    assert_string_equal(turns, "");

    /* Somebody in the middle gives up; another database's push ends: nobody's turn here. */
    push_queue_leave(queue, &tickets[2]);
    push_queue_leave(queue, &tickets[3]);
    run();
    assert_string_equal(turns, "");
    assert_int_equal(push_queue_place(queue, &tickets[4]), 2);

    push_queue_leave(queue, &tickets[0]);
    push_queue_leave(queue, &tickets[0]);
    run();
    assert_string_equal(turns, "b");
    assert_int_equal(push_queue_place(queue, &tickets[1]), 0);
    assert_int_equal(push_queue_enter(queue, &tickets[1]), 1);

    /* The next one's turn is granted, and he goes before he is told: then it is the turn of the one behind. */
    assert_int_equal(push_queue_enter(queue, &tickets[0]), 0);
    push_queue_leave(queue, &tickets[1]);
    push_queue_leave(queue, &tickets[4]);
    run();
    assert_string_equal(turns, "a");
    push_queue_leave(queue, &tickets[0]);
    run();
    assert_string_equal(turns, "");
}

static int set_up(void **state)
{
    (void)state;
    uv_loop_init(&loop);
    queue = push_queue_new(&loop);
    return queue == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    push_queue_close(queue);
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_turns, set_up, tear_down)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
