/*
 * bell: has somebody told, on the loop, that what he waited for on a worker thread is there.
 */
#ifndef LOCKSTEP_ORIGIN_BELL_H
#define LOCKSTEP_ORIGIN_BELL_H

struct bell;
struct uv_loop_s;

/* Embedded by its user, zeroed but for the last two; touched by the bell only, while it is to be rung. */
struct bell_ticket {
    struct bell_ticket *next;
    int is_due;                  /* bell_ring came, and on_ring not yet */
    void (*on_ring)(void *user); /* on the loop */
    void *user;
};

/* NULL: memory ran out. The bell keeps the loop alive until bell_close. */
struct bell *bell_new(struct uv_loop_s *loop);

/* No ticket is due any more. The memory goes later, on the loop. NULL is accepted. */
void bell_close(struct bell *bell);

/* on_ring comes, once. Any thread; harmless when repeated. */
void bell_ring(struct bell *bell, struct bell_ticket *ticket);

/* on_ring does not come any more. On the loop; harmless for one that is not due. */
void bell_silence(struct bell *bell, struct bell_ticket *ticket);

#endif
