/*
 * sim_origin: the origin's fence for the simulation. The database is a counter; a push carries the
 * value that was pulled and makes it one more. The base guard of the real origin is left out on
 * purpose, so that nothing but the fence stands between a late holder and a lost update.
 */
#ifndef LOCKSTEP_TESTS_SIM_ORIGIN_H
#define LOCKSTEP_TESTS_SIM_ORIGIN_H

#include <stdint.h>

#include "lockstore/record.h"

#define SIM_ACCEPTED_MAX 512

struct sim_origin {
    uint64_t fence_token;
    uint8_t fence_lease[RECORD_LEASE_ID_SIZE];
    uint64_t value;
    uint64_t push_id; /* of the last commit */
    uint64_t commits;
    uint64_t committed_token;
    int lease_unchecked; /* sabotage: an equal token is enough */
    /* Which lease id came with which token, for the check. */
    struct {
        uint64_t token;
        uint8_t lease[RECORD_LEASE_ID_SIZE];
    } accepted[SIM_ACCEPTED_MAX];
    unsigned accepted_count;
    const char *violation; /* what went wrong; NULL while nothing did */
};

/* Returns 1 where the fence lets (token, lease) through and, if so, raises it. */
int sim_origin_fence(struct sim_origin *origin, uint64_t token, const uint8_t *lease);

/* A push by that holder of base + 1. Returns 1 for a receipt, 0 for a refusal. */
int sim_origin_push(struct sim_origin *origin, uint64_t token, const uint8_t *lease, uint64_t base,
                    uint64_t push_id);

#endif
