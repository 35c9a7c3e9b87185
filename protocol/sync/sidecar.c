#include "protocol/sync/sidecar.h"

#include <string.h>

#include "protocol/base/error.h"
#include "protocol/sync/receipts.h"
#include "protocol/sync/sidecar_file.h"

uint64_t sidecar_version_of(const struct sidecar_state *state, const uint8_t root[ROOT_SIZE])
{
    static const uint8_t nothing[ROOT_SIZE];

    if (memcmp(state->root, root, ROOT_SIZE) == 0)
        return state->version;
    if (state->has_intent && memcmp(state->intent.new_root, root, ROOT_SIZE) == 0)
        return state->intent.version;
    if (state->version == 0 && memcmp(root, nothing, ROOT_SIZE) == 0)
        return 0;
    return state->version + 1;
}

int sidecar_is_base(const struct sidecar_state *state, const uint8_t base_root[ROOT_SIZE], const uint8_t root[ROOT_SIZE])
{
    return memcmp(base_root, root, ROOT_SIZE) == 0 ||
           (state->has_rebuilt && memcmp(state->rebuilt_from, base_root, ROOT_SIZE) == 0 &&
            memcmp(state->rebuilt_to, root, ROOT_SIZE) == 0);
}

int sidecar_join(struct sidecar *sidecar, const uint8_t lineage[LINEAGE_SIZE], const uint8_t hash_key[HASH_KEY_SIZE],
                 int replace, struct error *error)
{
    const struct parameter parameters[] = {SIZED(lineage, LINEAGE_SIZE), SIZED(hash_key, HASH_KEY_SIZE)};
    struct sidecar_state state;
    int rc;

    rc = sidecar_read(sidecar, &state, error);
    if (rc != 0 || (state.has_lineage && memcmp(state.lineage, lineage, LINEAGE_SIZE) == 0))
        return rc;
    rc = sidecar_begin(sidecar, &state, error);
    if (rc != 0)
        return rc;
    if (state.has_lineage && memcmp(state.lineage, lineage, LINEAGE_SIZE) == 0)
        return sidecar_end(sidecar, 0, error);
    if (state.has_lineage && !replace)
        rc = error_set(error, ERR_MOVED, "the database was given a lineage by another process just now; try again");
    if (rc == 0)
        rc = sidecar_write(sidecar,
                       "UPDATE state SET lineage = ?1, hash_key = ?2, version = 0, root = NULL, base_root = NULL,"
                       " base_version = 0, incoming_root = NULL, pending_id = NULL, pending_root = NULL,"
                       " rebuilt_from = NULL, rebuilt_to = NULL",
                       parameters, 2, error);
    if (rc == 0)
        rc = sidecar_execute(sidecar, "DELETE FROM intent; DELETE FROM receipt; DELETE FROM base_hashes;", "writing", error);
    return sidecar_end(sidecar, rc, error);
}

int sidecar_observe(struct sidecar *sidecar, const uint8_t root[ROOT_SIZE], uint64_t *version, struct error *error)
{
    struct sidecar_state state;
    int rc = sidecar_read(sidecar, &state, error);

    *version = sidecar_version_of(&state, root);
    if (rc != 0 || memcmp(state.root, root, ROOT_SIZE) == 0)
        return rc;
    rc = sidecar_begin(sidecar, &state, error);
    if (rc != 0)
        return rc;
    *version = sidecar_version_of(&state, root);
    const struct parameter parameters[] = {NUMBER(*version), SIZED(root, ROOT_SIZE)};
    /* What an intent says is settled with the next push, under the database's lock. */
    if (!state.has_intent)
        rc = receipts_note_change(sidecar, &state, root, error);
    if (rc == 0 && !state.has_intent)
        rc = sidecar_write(sidecar, "UPDATE state SET version = ?1, root = ?2", parameters, 2, error);
    return sidecar_end(sidecar, rc, error);
}

int sidecar_check_fence(const struct sidecar_state *state, const struct fence *fence, struct error *error)
{
    if (fence->token > state->fence.token)
        return 0;
    if (fence->token == state->fence.token &&
        memcmp(fence->lease_id, state->fence.lease_id, sizeof(fence->lease_id)) == 0)
        return 0;
    if (fence->token == 0)
        return error_set(error, ERR_FENCED,
                         "this database is guarded by a lock (token %llu was seen) and the request came without one: "
                         "use `lockstep run --lock URL`, or give --token and --lease of a lock that you hold",
                         (unsigned long long)state->fence.token);
    if (fence->token == state->fence.token)
        return error_set(error, ERR_FENCED,
                         "another holder of the lock was here with token %llu, which is this one's, too: the lock was deleted "
                         "meanwhile; start again from the pull",
                         (unsigned long long)fence->token);
    return error_set(error, ERR_FENCED,
                     "token %llu of the lock is not the newest: token %llu was seen; this holder's time is over, "
                     "start again from the pull",
                     (unsigned long long)fence->token, (unsigned long long)state->fence.token);
}

int sidecar_set_fence(struct sidecar *sidecar, const struct fence *fence, struct error *error)
{
    const struct parameter parameters[] = {NUMBER(fence->token), BYTES(fence->lease_id)};
    struct sidecar_state state;
    int rc = sidecar_begin(sidecar, &state, error);

    if (rc != 0)
        return rc;
    rc = sidecar_check_fence(&state, fence, error);
    if (rc == 0)
        rc = sidecar_write(sidecar, "UPDATE state SET fence_token = ?1, fence_lease = ?2", parameters, 2, error);
    return sidecar_end(sidecar, rc, error);
}

int sidecar_set_pending(struct sidecar *sidecar, const uint8_t push_id[LINEAGE_SIZE], const uint8_t root[ROOT_SIZE],
                        struct error *error)
{
    const struct parameter parameters[] = {SIZED(push_id, LINEAGE_SIZE), SIZED(root, ROOT_SIZE)};
    struct sidecar_state state;
    int rc = sidecar_begin(sidecar, &state, error);

    if (rc != 0)
        return rc;
    rc = sidecar_write(sidecar, "UPDATE state SET pending_id = ?1, pending_root = ?2", parameters, 2, error);
    return sidecar_end(sidecar, rc, error);
}

int sidecar_set_rebuilt(struct sidecar *sidecar, const uint8_t from[ROOT_SIZE], const uint8_t to[ROOT_SIZE],
                        struct error *error)
{
    const struct parameter parameters[] = {SIZED(from, ROOT_SIZE), SIZED(to, ROOT_SIZE)};
    struct sidecar_state state;
    int rc = sidecar_begin(sidecar, &state, error);

    if (rc != 0)
        return rc;
    rc = sidecar_write(sidecar,
                   "UPDATE state SET rebuilt_from = CASE WHEN rebuilt_to = ?1 THEN rebuilt_from ELSE ?1 END,"
                   " rebuilt_to = ?2, root = CASE WHEN root = ?1 THEN ?2 ELSE root END",
                   parameters, 2, error);
    return sidecar_end(sidecar, rc, error);
}

int sidecar_set_incoming(struct sidecar *sidecar, const uint8_t root[ROOT_SIZE], struct error *error)
{
    const struct parameter parameters[] = {SIZED(root, ROOT_SIZE)};
    struct sidecar_state state;
    int rc = sidecar_begin(sidecar, &state, error);

    if (rc != 0)
        return rc;
    rc = sidecar_write(sidecar, "UPDATE state SET incoming_root = ?1", parameters, 1, error);
    return sidecar_end(sidecar, rc, error);
}
