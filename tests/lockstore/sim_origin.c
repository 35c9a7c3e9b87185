#include "tests/lockstore/sim_origin.h"

#include <string.h>

static void note_accepted(struct sim_origin *origin, uint64_t token, const uint8_t *lease);

int sim_origin_fence(struct sim_origin *origin, uint64_t token, const uint8_t *lease)
{
    if (token < origin->fence_token)
        return 0;
    if (token == origin->fence_token && !origin->lease_unchecked &&
        memcmp(lease, origin->fence_lease, RECORD_LEASE_ID_SIZE) != 0)
        return 0;
    origin->fence_token = token;
    memcpy(origin->fence_lease, lease, RECORD_LEASE_ID_SIZE);
    note_accepted(origin, token, lease);
    return 1;
}

int sim_origin_push(struct sim_origin *origin, uint64_t token, const uint8_t *lease, uint64_t base,
                    uint64_t push_id)
{
    if (push_id == origin->push_id)
        return 1; /* the same push once more: the same receipt */
    if (!sim_origin_fence(origin, token, lease))
        return 0;
    if (token < origin->committed_token)
        origin->violation = "a commit's token is smaller than the one before";
    if (base != origin->value)
        origin->violation = "lost update: a push was committed over one it had not seen";
    origin->committed_token = token;
    origin->push_id = push_id;
    origin->value = base + 1;
    origin->commits++;
    return 1;
}

static void note_accepted(struct sim_origin *origin, uint64_t token, const uint8_t *lease)
{
    for (unsigned i = origin->accepted_count; i-- > 0;) {
        if (origin->accepted[i].token != token)
            continue;
        if (memcmp(origin->accepted[i].lease, lease, RECORD_LEASE_ID_SIZE) != 0)
            origin->violation = "the origin accepted one token from two leases";
        return;
    }
    if (origin->accepted_count == SIM_ACCEPTED_MAX) {
        origin->violation = "the simulation's table of tokens is full";
        return;
    }
    origin->accepted[origin->accepted_count].token = token;
    memcpy(origin->accepted[origin->accepted_count].lease, lease, RECORD_LEASE_ID_SIZE);
    origin->accepted_count++;
}
