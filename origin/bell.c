#include "origin/bell.h"

#include <assert.h>
#include <stdlib.h>

#include <uv.h>

struct bell {
    uv_mutex_t mutex;
    uv_async_t async;
    struct bell_ticket *first; /* due, in the order in which they were rung for */
    struct bell_ticket *last;
};

static struct bell_ticket *take_first(struct bell *bell)
{
    struct bell_ticket *ticket;

    uv_mutex_lock(&bell->mutex);
    ticket = bell->first;
    if (ticket != NULL) {
        bell->first = ticket->next;
        if (bell->first == NULL)
            bell->last = NULL;
        ticket->next = NULL;
        ticket->is_due = 0;
    }
    uv_mutex_unlock(&bell->mutex);
    return ticket;
}

static void async_cb(uv_async_t *async)
{
    struct bell_ticket *ticket;

    while ((ticket = take_first(async->data)) != NULL)
        ticket->on_ring(ticket->user);
}

struct bell *bell_new(uv_loop_t *loop)
{
    struct bell *bell = calloc(1, sizeof(*bell));

    if (bell == NULL)
        return NULL;
    uv_mutex_init(&bell->mutex);
    uv_async_init(loop, &bell->async, async_cb);
    bell->async.data = bell;
    return bell;
}

static void closed_cb(uv_handle_t *handle)
{
    struct bell *bell = handle->data;

    uv_mutex_destroy(&bell->mutex);
    free(bell);
}

void bell_close(struct bell *bell)
{
    if (bell == NULL)
        return;
    assert(bell->first == NULL);
    uv_close((uv_handle_t *)&bell->async, closed_cb);
}

void bell_ring(struct bell *bell, struct bell_ticket *ticket)
{
    uv_mutex_lock(&bell->mutex);
    if (!ticket->is_due) {
        ticket->is_due = 1;
        ticket->next = NULL;
        if (bell->last != NULL)
            bell->last->next = ticket;
        else
            bell->first = ticket;
        bell->last = ticket;
        uv_async_send(&bell->async);
    }
    uv_mutex_unlock(&bell->mutex);
}

void bell_silence(struct bell *bell, struct bell_ticket *ticket)
{
    struct bell_ticket *previous = NULL;

    uv_mutex_lock(&bell->mutex);
    if (ticket->is_due) {
        for (struct bell_ticket *other = bell->first; other != ticket; other = other->next)
            previous = other;
        if (previous != NULL)
            previous->next = ticket->next;
        else
            bell->first = ticket->next;
        if (bell->last == ticket)
            bell->last = previous;
        ticket->next = NULL;
        ticket->is_due = 0;
    }
    uv_mutex_unlock(&bell->mutex);
}
