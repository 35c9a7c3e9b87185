/*
 * A line is a list of tickets at one database; the first of it has the turn. The first ones of all
 * lines are a list, too, so nothing is allocated and nothing can fail.
 */
#include "origin/turn_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "protocol/base/clock.h"

struct turn_queue {
    uv_mutex_t mutex;
    struct bell *bell;
    struct turn_ticket *lines; /* the first ticket of each */
    uint64_t changes; /* since the queue was made; places hold as long as it stands still */
};

struct turn_queue *turn_queue_new(struct bell *bell)
{
    struct turn_queue *queue = calloc(1, sizeof(*queue));

    if (queue == NULL)
        return NULL;
    uv_mutex_init(&queue->mutex);
    queue->bell = bell;
    queue->changes = 1;
    return queue;
}

void turn_queue_free(struct turn_queue *queue)
{
    if (queue == NULL)
        return;
    assert(queue->lines == NULL);
    uv_mutex_destroy(&queue->mutex);
    free(queue);
}

/* Where the line at path is in the list of lines; *spot is NULL where there is none. */
static struct turn_ticket **find_line(struct turn_queue *queue, const char *path)
{
    struct turn_ticket **spot;

    for (spot = &queue->lines; *spot != NULL && strcmp((*spot)->path, path) != 0;
         spot = &(*spot)->next_line)
        ;
    return spot;
}

static void put_in_line(struct turn_queue *queue, struct turn_ticket *ticket, uint64_t waited_ms)
{
    struct turn_ticket **spot = find_line(queue, ticket->path);
    uint64_t now = clock_monotonic_ms();

    ticket->since = now > waited_ms ? now - waited_ms : 0;
    ticket->state = *spot == NULL ? TURN_IN : TURN_WAITING;
    ticket->next = ticket->next_line = NULL;
    ticket->place_at = 0;
    if (*spot != NULL) {
        for (spot = &(*spot)->next; *spot != NULL && (*spot)->since <= ticket->since;
             spot = &(*spot)->next)
            ;
        ticket->next = *spot;
    }
    *spot = ticket;
    queue->changes++;
}

int turn_queue_enter(struct turn_queue *queue, struct turn_ticket *ticket, uint64_t waited_ms)
{
    int is_in;

    uv_mutex_lock(&queue->mutex);
    if (ticket->state == TURN_OUT)
        put_in_line(queue, ticket, waited_ms);
    is_in = ticket->state == TURN_IN;
    if (is_in)
        bell_silence(queue->bell, &ticket->bell); /* it is told here */
    uv_mutex_unlock(&queue->mutex);
    return is_in;
}

static void take_out_of_line(struct turn_queue *queue, struct turn_ticket *ticket)
{
    struct turn_ticket **spot = find_line(queue, ticket->path);
    struct turn_ticket *next = ticket->next;

    if (ticket->state == TURN_WAITING) {
        while (*spot != ticket)
            spot = &(*spot)->next;
        *spot = next;
    } else if (next != NULL) {
        next->next_line = ticket->next_line;
        next->state = TURN_IN;
        *spot = next;
        bell_ring(queue->bell, &next->bell);
    } else {
        *spot = ticket->next_line;
    }
    bell_silence(queue->bell, &ticket->bell);
    ticket->state = TURN_OUT;
    queue->changes++;
}

void turn_queue_leave(struct turn_queue *queue, struct turn_ticket *ticket)
{
    uv_mutex_lock(&queue->mutex);
    if (ticket->state != TURN_OUT)
        take_out_of_line(queue, ticket);
    uv_mutex_unlock(&queue->mutex);
}

static uint32_t count_place(struct turn_queue *queue, const struct turn_ticket *ticket)
{
    uint32_t place = 0;

    if (ticket->state == TURN_WAITING) {
        for (const struct turn_ticket *other = *find_line(queue, ticket->path); other != ticket;
             other = other->next)
            place++;
    }
    return place;
}

uint32_t turn_queue_place(struct turn_queue *queue, struct turn_ticket *ticket)
{
    uint32_t place;

    uv_mutex_lock(&queue->mutex);
    if (ticket->place_at != queue->changes) {
        ticket->place = count_place(queue, ticket);
        ticket->place_at = queue->changes;
    }
    place = ticket->place;
    uv_mutex_unlock(&queue->mutex);
    return place;
}
