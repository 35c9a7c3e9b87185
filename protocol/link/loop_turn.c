#include "protocol/link/loop_turn.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#include <uv.h>

struct line {
    struct turn_wait *first;
    struct turn_wait *last;
    uint64_t age; /* of the turn, up to which there is time */
};

struct loop_turn {
    uv_prepare_t prepare;
    uv_idle_t idle; /* active while somebody waits: the loop does not go to sleep then */
    uint64_t began; /* when somebody first asked in this turn; 0: nobody has */
    struct line lines[TURN_KINDS];
    int handles; /* that are open */
};

static void prepare_cb(uv_prepare_t *prepare)
{
    struct loop_turn *turn = prepare->data;

    turn->began = 0;
}

/* Of this thread. Measured: 0.2 us. */
static uint64_t cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The first call in a turn is its beginning. */
static int is_over(struct loop_turn *turn, enum turn_kind kind)
{
    uint64_t now = cpu_ns();

    if (turn->began == 0)
        turn->began = now;
    return now - turn->began >= turn->lines[kind].age;
}

int loop_turn_has_time(struct loop_turn *turn, enum turn_kind kind)
{
    return turn == NULL || (turn->lines[kind].first == NULL && !is_over(turn, kind));
}

/* ---- the lines ---- */

/* The first has its time in any case, the others while there is some. */
static void serve(struct loop_turn *turn, enum turn_kind kind)
{
    int is_first = 1;

    while (turn->lines[kind].first != NULL && (!is_over(turn, kind) || is_first)) {
        struct turn_wait *wait = turn->lines[kind].first;

        is_first = 0;
        loop_turn_leave(turn, wait);
        wait->on_time(wait->user);
    }
}

static void idle_cb(uv_idle_t *idle)
{
    struct loop_turn *turn = idle->data;

    for (enum turn_kind kind = 0; kind < TURN_KINDS; kind++)
        serve(turn, kind);
}

void loop_turn_wait(struct loop_turn *turn, enum turn_kind kind, struct turn_wait *wait)
{
    struct line *line = &turn->lines[kind];

    if (wait->is_waiting)
        return;
    wait->is_waiting = 1;
    wait->kind = kind;
    wait->next = NULL;
    wait->previous = line->last;
    if (line->last != NULL)
        line->last->next = wait;
    else
        line->first = wait;
    line->last = wait;
    uv_idle_start(&turn->idle, idle_cb);
}

static int is_anybody_waiting(const struct loop_turn *turn)
{
    return turn->lines[TURN_HANDSHAKE].first != NULL || turn->lines[TURN_SHORT].first != NULL;
}

void loop_turn_leave(struct loop_turn *turn, struct turn_wait *wait)
{
    struct line *line;

    if (!wait->is_waiting)
        return;
    wait->is_waiting = 0;
    line = &turn->lines[wait->kind];
    if (wait->previous != NULL)
        wait->previous->next = wait->next;
    else
        line->first = wait->next;
    if (wait->next != NULL)
        wait->next->previous = wait->previous;
    else
        line->last = wait->previous;
    if (!is_anybody_waiting(turn))
        uv_idle_stop(&turn->idle);
}

/* ---- its life ---- */

struct loop_turn *loop_turn_new(uv_loop_t *loop, const uint64_t ages[TURN_KINDS])
{
    static const uint64_t usual[TURN_KINDS] = {
        [TURN_HANDSHAKE] = TURN_HANDSHAKE_NS, [TURN_SHORT] = TURN_SHORT_NS};
    struct loop_turn *turn = calloc(1, sizeof(*turn));

    if (turn == NULL)
        return NULL;
    if (ages == NULL)
        ages = usual;
    for (int kind = 0; kind < TURN_KINDS; kind++)
        turn->lines[kind].age = ages[kind];
    uv_prepare_init(loop, &turn->prepare);
    uv_idle_init(loop, &turn->idle);
    turn->prepare.data = turn->idle.data = turn;
    turn->handles = 2;
    uv_prepare_start(&turn->prepare, prepare_cb);
    uv_unref((uv_handle_t *)&turn->prepare);
    return turn;
}

static void closed_cb(uv_handle_t *handle)
{
    struct loop_turn *turn = handle->data;

    if (--turn->handles == 0)
        free(turn);
}

void loop_turn_close(struct loop_turn *turn)
{
    if (turn == NULL)
        return;
    assert(!is_anybody_waiting(turn));
    uv_close((uv_handle_t *)&turn->prepare, closed_cb);
    uv_close((uv_handle_t *)&turn->idle, closed_cb);
}
