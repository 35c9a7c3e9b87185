/*
 * push_queue: one push at a time for each database of a daemon; the others wait in the order in which they came.
 *
 * Tickets enter and leave on any thread. Whose turn has come is told on the loop. The database's lock and the lease stay what
 * decides: the queue only saves pushes that would be in each other's way.
 */
#ifndef LOCKSTEP_ORIGIN_PUSH_QUEUE_H
#define LOCKSTEP_ORIGIN_PUSH_QUEUE_H

#include <stdint.h>

struct push_queue;
struct uv_loop_s;

enum push_ticket_state {
    PUSH_TICKET_OUT,     /* not in the queue */
    PUSH_TICKET_WAITING,
    PUSH_TICKET_GRANTED, /* its turn has come, and on_turn not yet */
    PUSH_TICKET_IN       /* its turn */
};

/* Embedded by its user, zeroed; touched by the queue only, while it is in there. */
struct push_ticket {
    struct push_ticket *next;
    enum push_ticket_state state;
    const char *path;             /* of the database, resolved; the user's */
    void (*on_turn)(void *user);  /* on the loop; not where push_queue_enter gave the turn at once */
    void *user;
};

/* NULL: memory ran out. The queue keeps the loop alive until push_queue_close. */
struct push_queue *push_queue_new(struct uv_loop_s *loop);

/* All tickets have left. The memory goes later, on the loop. */
void push_queue_close(struct push_queue *queue);

/* Get in line. Returns whether it is the ticket's turn already; else on_turn comes, unless it leaves first. Harmless when repeated. */
int push_queue_enter(struct push_queue *queue, struct push_ticket *ticket);

/* The push is over, or is not waited for any more. Harmless when repeated. on_turn does not come afterwards if this is called on the loop. */
void push_queue_leave(struct push_queue *queue, struct push_ticket *ticket);

/* 1 for a ticket that is next, 2 for the one behind it; 0 for one that does not wait. */
uint32_t push_queue_place(struct push_queue *queue, const struct push_ticket *ticket);

#endif
