/*
 * sim_world: several holders of one lock (the real lockstore/lease.c, one each), a store, an
 * origin, the networks between them and everybody's clocks, in one thread and simulated time. All
 * that happens follows from a seed.
 *
 * A holder does what `lockstep run` does, again and again: acquire, fence at the origin, pull,
 * work, push, release. For CHAOS_MS everything that can go wrong does: requests are lost before or
 * after they are applied, delayed past anything, answered 409 or 5xx; holders are paused, and crash
 * before any step. A third of the seeds is `wild`: there clocks also jump and stop, the store lies,
 * and people delete or overwrite the object by hand, or break the lock. Then all faults end, and
 * somebody must get the lock and commit.
 *
 * Checked after every step:
 *   - the origin accepts a token from one lease id alone; committed tokens never fall;
 *   - no update is lost;
 *   - nobody believes to hold the lock longer than `timeout` after sending a write of the record
 * that was applied;
 *   - in seeds that are not wild: no two believe at one time;
 *   - nobody reads the record twice within a second while acquiring;
 *   - in the end: a commit.
 */
#ifndef LOCKSTEP_TESTS_SIM_WORLD_H
#define LOCKSTEP_TESTS_SIM_WORLD_H

#include <stdint.h>
#include <stdio.h>

/* Ways to do it wrong. Each must be found by the checks above. */
enum sim_sabotage {
    SIM_SOUND,              /* none */
    SIM_NO_REV,             /* renewals write the same bytes again */
    SIM_LEASE_ID_UNCHECKED, /* after a 412, any record counts as our own */
    SIM_FENCE_BY_TOKEN,     /* the origin does not compare the lease id of an equal token */
    SIM_NO_EARLY_FENCE,     /* fence with the push instead of before the pull */
    SIM_DELETE_ON_RELEASE,  /* remove the object, as the shell scripts do */
    SIM_LATE_DEADLINE,      /* count the lease from the answer, not from the request */
    SIM_NO_FENCE,           /* trust the lease alone */
    SIM_SABOTAGES
};

struct sim_result {
    const char *violation; /* NULL: all was well */
    uint64_t at;           /* simulated milliseconds */
    uint64_t steps;        /* events */
    uint64_t commits;
    uint64_t acquired;
    int wild;
};

/* Run one seed. trace: where every event is told, NULL for nowhere. */
void sim_world_run(uint64_t seed, enum sim_sabotage sabotage, FILE *trace,
                   struct sim_result *result);

#endif
