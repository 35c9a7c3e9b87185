/*
 * loop_turn: what the many links of one event loop may take of one turn of it, so that nobody waits
 * long for all the others.
 *
 * Before it does a piece of work a link asks whether there is time for it (loop_turn_has_time). If
 * not it gets in line (loop_turn_wait), and the line goes on in the next turns. Whoever asks while
 * others of its kind are in line goes behind them. There are two kinds, because a signature in a
 * handshake takes a millisecond, and all that those wait for who are in already takes less than a
 * fifth of one:
 *
 *   TURN_HANDSHAKE   for as long as the turn is younger than TURN_HANDSHAKE_NS
 *   TURN_SHORT       for as long as it is younger than TURN_SHORT_NS: accepting, reading and
 *                    decrypting, encrypting and writing, freeing
 *
 * and of each the first in line has its time in every turn, however old that is. A turn's age
 * counts from the first who asks in it, in processor time of the thread: where others have the
 * machine meanwhile that is no reason to do less. It ends where the loop looks at its sockets
 * (uv_prepare).
 * The line is served just before that (uv_idle). All of it on the loop's thread.
 *
 * Measured with 200 replicas that pull 6,491 pages at once, on two cores: the longest turn was 19
 * ms of processor time, most of it for 293 records that were written to 73 links; with lines 4.8
 * ms. By the wall clock instead, such replicas had 122 MB waiting in the daemon, not 63.
 */
#ifndef LOCKSTEP_LINK_LOOP_TURN_H
#define LOCKSTEP_LINK_LOOP_TURN_H

#include <stdint.h>

struct loop_turn;
struct uv_loop_s;

#define TURN_HANDSHAKE_NS 2000000u
#define TURN_SHORT_NS     4000000u

enum turn_kind { TURN_HANDSHAKE, TURN_SHORT, TURN_KINDS };

/* A place in line; embedded by its user, zeroed but for the last two. */
struct turn_wait {
    struct turn_wait *next; /* behind it */
    struct turn_wait *previous;
    enum turn_kind kind;
    int is_waiting;
    void (*on_time)(void *user); /* it does not wait any more, and may ask and wait again */
    void *user;
};

/* ages: of a turn in nanoseconds, for each kind, from which on there is time for the first in line
 * alone; NULL: those above. Does not keep the loop alive, unless somebody waits. NULL: memory ran
 * out. */
struct loop_turn *loop_turn_new(struct uv_loop_s *loop, const uint64_t ages[TURN_KINDS]);

/* Nobody waits. The memory goes later, on the loop. NULL is accepted. */
void loop_turn_close(struct loop_turn *turn);

/* Whether to do it now. Where there is no turn, NULL, all is done now. */
int loop_turn_has_time(struct loop_turn *turn, enum turn_kind kind);

/* Get in line; harmless for one that waits. */
void loop_turn_wait(struct loop_turn *turn, enum turn_kind kind, struct turn_wait *wait);

/* on_time does not come any more. Harmless for one that does not wait. */
void loop_turn_leave(struct loop_turn *turn, struct turn_wait *wait);

#endif
