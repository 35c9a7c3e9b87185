/*
 * pace: holds a stream of bytes to a rate. Pure: the time is given.
 *
 * Each number of bytes that is sent moves on the time from which the next may be, by what they take at the rate; time that was not used is
 * lost. So the mean is kept whatever the sizes are, and a little that is sent after a pause goes at once.
 */
#ifndef LOCKSTEP_BASE_PACE_H
#define LOCKSTEP_BASE_PACE_H

#include <stdint.h>

/* All zero is no limit. */
struct pace {
    uint64_t rate;   /* bytes a second; 0: as fast as can be */
    uint64_t due_us; /* when all that was sent will have been worth its time, microseconds */
};

/* Another rate, from now on. */
void pace_set(struct pace *pace, uint64_t rate);

/* bytes were sent at now_ms. */
void pace_spend(struct pace *pace, uint64_t bytes, uint64_t now_ms);

/* Milliseconds from now_ms until more may be sent; 0: now. */
uint64_t pace_wait_ms(const struct pace *pace, uint64_t now_ms);

#endif
