/* turn_queue: turns come in order, one at a time for each database. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "origin/turn_queue.h"

#define TICKETS 5

static uv_loop_t loop;
static struct bell *bell;
static struct turn_queue *queue;
static char turns[64]; /* whose turns came, in order */

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
    struct turn_ticket tickets[TICKETS] = {{.path = NULL}};

    (void)state;
    for (int i = 0; i < TICKETS; i++)
        tickets[i] = (struct turn_ticket){.path = i == 3 ? "/other" : "/one",
                                          .bell = {.on_ring = on_turn, .user = names[i]}};
    assert_int_equal(turn_queue_enter(queue, &tickets[0], 0), 1);
    assert_int_equal(turn_queue_enter(queue, &tickets[0], 0), 1);
    assert_int_equal(turn_queue_enter(queue, &tickets[1], 0), 0);
    assert_int_equal(turn_queue_enter(queue, &tickets[3], 0), 1);
    assert_int_equal(turn_queue_enter(queue, &tickets[2], 0), 0);
    assert_int_equal(turn_queue_enter(queue, &tickets[4], 0), 0);
    assert_int_equal(turn_queue_place(queue, &tickets[0]), 0);
    assert_int_equal(turn_queue_place(queue, &tickets[1]), 1);
    assert_int_equal(turn_queue_place(queue, &tickets[2]), 2);
    assert_int_equal(turn_queue_place(queue, &tickets[4]), 3);
    run();
    assert_string_equal(turns, "");

    /* Somebody in the middle gives up; another database's push ends: nobody's turn here. */
    turn_queue_leave(queue, &tickets[2]);
    turn_queue_leave(queue, &tickets[3]);
    run();
    assert_string_equal(turns, "");
    assert_int_equal(turn_queue_place(queue, &tickets[4]), 2);

    turn_queue_leave(queue, &tickets[0]);
    turn_queue_leave(queue, &tickets[0]);
    run();
    assert_string_equal(turns, "b");
    assert_int_equal(turn_queue_place(queue, &tickets[1]), 0);
    assert_int_equal(turn_queue_enter(queue, &tickets[1], 0), 1);

    /* The next one's turn is granted, and he goes before he is told: then it is the turn of the one
     * behind. */
    assert_int_equal(turn_queue_enter(queue, &tickets[0], 0), 0);
    turn_queue_leave(queue, &tickets[1]);
    turn_queue_leave(queue, &tickets[4]);
    run();
    assert_string_equal(turns, "a");

    /* Whoever asks before he is told is not told again. */
    assert_int_equal(turn_queue_enter(queue, &tickets[1], 0), 0);
    turn_queue_leave(queue, &tickets[0]);
    assert_int_equal(turn_queue_enter(queue, &tickets[1], 0), 1);
    run();
    assert_string_equal(turns, "");
    turn_queue_leave(queue, &tickets[1]);
    run();
    assert_string_equal(turns, "");
}

#define MANY 200

struct member {
    struct turn_ticket ticket;
    int number;
};

static struct member crowd[MANY];
static int order[MANY]; /* whose turns came */
static int order_count;

static void on_crowd_turn(void *user)
{
    order[order_count++] = ((struct member *)user)->number;
}

static void enter_crowd(void)
{
    memset(crowd, 0, sizeof(crowd));
    order_count = 0;
    for (int i = 0; i < MANY; i++) {
        crowd[i].number = i;
        crowd[i].ticket = (struct turn_ticket){
            .path = "/one", .bell = {.on_ring = on_crowd_turn, .user = &crowd[i]}};
        assert_int_equal(turn_queue_enter(queue, &crowd[i].ticket, 0), i == 0);
        assert_int_equal(turn_queue_place(queue, &crowd[i].ticket), i);
    }
}

static void test_crowd_in_order(void **state)
{
    (void)state;
    enter_crowd();
    for (int i = 0; i < MANY; i++) {
        for (int j = i; j < MANY; j += 50)
            assert_int_equal(turn_queue_place(queue, &crowd[j].ticket), j - i);
        turn_queue_leave(queue, &crowd[i].ticket);
        run();
        assert_int_equal(order_count, i < MANY - 1 ? i + 1 : i);
        assert_true(i == MANY - 1 || order[i] == i + 1);
    }
}

/* Every third goes while it waits, and every fourth just when its turn was granted, before it is
 * told. */
static void test_crowd_with_deserters(void **state)
{
    int expected[MANY];
    int count = 0;
    int head = 0;

    (void)state;
    enter_crowd();
    for (int i = 1; i < MANY; i++) {
        if (i % 3 == 0)
            turn_queue_leave(queue, &crowd[i].ticket);
        else if (i % 4 != 0)
            expected[count++] = i;
    }
    for (int i = 1; i < MANY; i++) {
        if (i % 3 == 0)
            continue;
        turn_queue_leave(queue, &crowd[head].ticket);
        assert_int_equal(crowd[i].ticket.state, TURN_IN);
        assert_int_equal(turn_queue_place(queue, &crowd[i].ticket), 0);
        if (i % 4 != 0)
            run();
        head = i;
    }
    turn_queue_leave(queue, &crowd[head].ticket);
    run();
    assert_int_equal(order_count, count);
    assert_memory_equal(order, expected, (size_t)count * sizeof(int));
}

/* Those that come back, after the daemon was started anew or a link was lost, stand where they
 * stood. */
static void test_those_who_waited_longer(void **state)
{
    static char names[TICKETS][2] = {"a", "b", "c", "d", "e"};
    static const uint64_t waited[TICKETS] = {0, 1000, UINT64_MAX, 2000, 0};
    struct turn_ticket tickets[TICKETS];

    (void)state;
    for (int i = 0; i < TICKETS; i++) {
        tickets[i] =
            (struct turn_ticket){.path = "/one", .bell = {.on_ring = on_turn, .user = names[i]}};
        assert_int_equal(turn_queue_enter(queue, &tickets[i], waited[i]), i == 0);
    }
    assert_int_equal(turn_queue_place(queue, &tickets[2]), 1);
    assert_int_equal(turn_queue_place(queue, &tickets[3]), 2);
    assert_int_equal(turn_queue_place(queue, &tickets[1]), 3);
    assert_int_equal(turn_queue_place(queue, &tickets[4]), 4);
    turn_queue_leave(queue, &tickets[0]);
    run();
    assert_string_equal(turns, "c");
    /* Whoever has the turn keeps it. */
    assert_int_equal(turn_queue_enter(queue, &tickets[0], UINT64_MAX), 0);
    assert_int_equal(turn_queue_place(queue, &tickets[0]), 1);
    for (int i = 0; i < TICKETS; i++)
        turn_queue_leave(queue, &tickets[i]);
    run();
}

static int set_up(void **state)
{
    (void)state;
    uv_loop_init(&loop);
    bell = bell_new(&loop);
    queue = turn_queue_new(bell);
    return queue == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    turn_queue_free(queue);
    bell_close(bell);
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_crowd_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_crowd_with_deserters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_those_who_waited_longer, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
