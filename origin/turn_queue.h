/*
 * turn_queue: turns at the databases of a daemon. At each, one ticket has the turn, and the others
 * wait, those first that have waited longest.
 *
 * A daemon has two: one of pushes, which would only be in each other's way, and one of `lockstep
 * run`s, of which one after the other asks the lock's store. What decides is in both cases
 * something else: the database's lock and the fence, the lock in the store.
 *
 * Tickets enter and leave on any thread. Whose turn has come is told on the loop, by the bell.
 */
#ifndef LOCKSTEP_ORIGIN_TURN_QUEUE_H
#define LOCKSTEP_ORIGIN_TURN_QUEUE_H

#include <stdint.h>

#include "origin/bell.h"

struct turn_queue;

enum turn_state {
    TURN_OUT, /* not in the queue */
    TURN_WAITING,
    TURN_IN /* its turn */
};

/* Embedded by its user, zeroed; touched by the queue only, while it is in there. */
struct turn_ticket {
    struct turn_ticket *next;      /* behind it at the same database */
    struct turn_ticket *next_line; /* of the one with the turn: that at another database */
    enum turn_state state;
    const char *path; /* of the database, resolved; the user's */
    uint64_t since;   /* when its waiting began, in monotonic milliseconds */
    uint32_t place;   /* as counted when the queue had seen so many changes */
    uint64_t place_at;
    struct bell_ticket bell; /* on_ring: its turn has come; set by the user */
};

/* NULL: memory ran out. The bell is the caller's, and outlives the tickets in the queue. */
struct turn_queue *turn_queue_new(struct bell *bell);

/* All tickets have left. NULL is accepted. */
void turn_queue_free(struct turn_queue *queue);

/*
 * Get in line: behind all that have waited for more than waited_ms by now. Returns whether it is
 * the ticket's turn already; else on_ring comes, unless it leaves first. Harmless when repeated.
 */
int turn_queue_enter(struct turn_queue *queue, struct turn_ticket *ticket, uint64_t waited_ms);

/* Its turn is over, or is not waited for any more. Harmless when repeated. on_ring does not come
 * afterwards if this is called on the loop. */
void turn_queue_leave(struct turn_queue *queue, struct turn_ticket *ticket);

/* 1 for a ticket that is next, 2 for the one behind it; 0 for one that does not wait. */
uint32_t turn_queue_place(struct turn_queue *queue, struct turn_ticket *ticket);

#endif
