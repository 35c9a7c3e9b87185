#include "origin/push_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

struct push_queue {
    uv_mutex_t mutex;
    uv_async_t async;
    struct push_ticket *first; /* in the order in which they came, those of all databases */
};

/* Tell one ticket whose turn has come, if there is one. Returns whether there was. */
static int tell_next(struct push_queue *queue)
{
    struct push_ticket *ticket;

    uv_mutex_lock(&queue->mutex);
    for (ticket = queue->first; ticket != NULL && ticket->state != PUSH_TICKET_GRANTED; ticket = ticket->next)
        ;
    if (ticket != NULL)
        ticket->state = PUSH_TICKET_IN;
    uv_mutex_unlock(&queue->mutex);
    if (ticket != NULL)
        ticket->on_turn(ticket->user);
    return ticket != NULL;
}

static void async_cb(uv_async_t *async)
{
    while (tell_next(async->data))
        ;
}

struct push_queue *push_queue_new(struct uv_loop_s *loop)
{
    struct push_queue *queue = calloc(1, sizeof(*queue));

    if (queue == NULL)
        return NULL;
    uv_mutex_init(&queue->mutex);
    uv_async_init(loop, &queue->async, async_cb);
    queue->async.data = queue;
    return queue;
}

static void closed_cb(uv_handle_t *handle)
{
    struct push_queue *queue = handle->data;

    uv_mutex_destroy(&queue->mutex);
    free(queue);
}

void push_queue_close(struct push_queue *queue)
{
    assert(queue->first == NULL);
    uv_close((uv_handle_t *)&queue->async, closed_cb);
}

/* The one whose turn it is, at the database. */
static const struct push_ticket *holder(const struct push_queue *queue, const char *path)
{
    const struct push_ticket *ticket;

    for (ticket = queue->first; ticket != NULL; ticket = ticket->next) {
        if (ticket->state >= PUSH_TICKET_GRANTED && strcmp(ticket->path, path) == 0)
            break;
    }
    return ticket;
}

int push_queue_enter(struct push_queue *queue, struct push_ticket *ticket)
{
    struct push_ticket **end;
    int is_in;

    uv_mutex_lock(&queue->mutex);
    if (ticket->state == PUSH_TICKET_OUT) {
        ticket->state = holder(queue, ticket->path) == NULL ? PUSH_TICKET_IN : PUSH_TICKET_WAITING;
        ticket->next = NULL;
        for (end = &queue->first; *end != NULL; end = &(*end)->next)
            ;
        *end = ticket;
    }
    is_in = ticket->state == PUSH_TICKET_IN;
    uv_mutex_unlock(&queue->mutex);
    return is_in;
}

void push_queue_leave(struct push_queue *queue, struct push_ticket *ticket)
{
    struct push_ticket **spot;
    struct push_ticket *next;

    uv_mutex_lock(&queue->mutex);
    if (ticket->state != PUSH_TICKET_OUT) {
        for (spot = &queue->first; *spot != ticket; spot = &(*spot)->next)
            ;
        *spot = ticket->next;
        ticket->state = PUSH_TICKET_OUT;
        for (next = queue->first; next != NULL && strcmp(next->path, ticket->path) != 0; next = next->next)
            ;
        if (next != NULL && next->state == PUSH_TICKET_WAITING && holder(queue, ticket->path) == NULL) {
            next->state = PUSH_TICKET_GRANTED;
            uv_async_send(&queue->async);
        }
    }
    uv_mutex_unlock(&queue->mutex);
}

uint32_t push_queue_place(struct push_queue *queue, const struct push_ticket *ticket)
{
    uint32_t place = 0;

    uv_mutex_lock(&queue->mutex);
    if (ticket->state == PUSH_TICKET_WAITING) {
        for (const struct push_ticket *other = queue->first; other != ticket; other = other->next)
            place += other->state == PUSH_TICKET_WAITING && strcmp(other->path, ticket->path) == 0;
        place++;
    }
    uv_mutex_unlock(&queue->mutex);
    return place;
}
