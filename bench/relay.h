/*
 * relay: carries bytes between two ends through two delay lines, and counts them.
 */
#ifndef LOCKSTEP_BENCH_RELAY_H
#define LOCKSTEP_BENCH_RELAY_H

#include <stdint.h>

#include <uv.h>

struct error;
struct relay;

enum relay_side { RELAY_NEAR, RELAY_FAR };

/* What leads to a program. Handles are open, from malloc, without data; the relay closes and frees
 * them. */
struct relay_end {
    uv_stream_t *in;  /* what the program sends is read here */
    uv_stream_t *out; /* what it gets is written here; for a socket the same handle */
};

struct relay_options {
    uint64_t round_trip; /* ns */
    uint64_t rate;       /* bytes a second in each direction; 0 for no bound */
};

struct relay_counts {
    uint64_t sent[2]; /* bytes that each side has sent, by enum relay_side */
    /*
     * The longest chain of bytes, each of which was sent after the one before it had arrived at its
     * sender: 2 for a question and its answer. Half of it are the round trips that had to be waited
     * for, where a side waits for an answer before it goes on; where both stream at once it is an
     * upper bound.
     */
    unsigned legs;
};

/*
 * Start to carry. on_end comes once, when both directions have ended and every handle is closed;
 * the relay is gone when it returns. Returns NULL on failure, with on_end never called and the ends
 * closed.
 */
struct relay *relay_new(uv_loop_t *loop, const struct relay_options *options,
                        const struct relay_end ends[2],
                        void (*on_end)(void *user, const struct relay_counts *counts), void *user,
                        struct error *error);

/* The far program is gone: what is still sent to it is of no use to anybody. */
void relay_far_gone(struct relay *relay);

#endif
