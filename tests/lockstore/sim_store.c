#include "tests/lockstore/sim_store.h"

#include <string.h>

static uint64_t content_etag(const struct record *record);

void sim_store_apply(struct sim_store *store, uint64_t now, const struct sim_request *request,
                     uint64_t dice, struct sim_answer *answer)
{
    const struct sim_object *object = &store->now;
    int holds;

    answer->outcome = STORE_OK;
    answer->age_ms = -1;
    answer->retry_after_ms = 0;
    if (request->kind == SIM_GET) {
        if ((store->lies & SIM_STALE_READS) && dice % 4 == 0)
            object = &store->before;
        if (!object->exists) {
            answer->outcome = STORE_ABSENT;
            return;
        }
        answer->record = object->record;
        answer->etag = object->etag;
        if (dice % 3 != 0) /* else the store did not tell */
            answer->age_ms = ((int64_t)((now + (uint64_t)store->clock_offset) / 1000) -
                              (int64_t)(object->written / 1000)) *
                             1000;
        if (answer->age_ms < 0)
            answer->age_ms = -1;
        return;
    }
    if (request->kind == SIM_DELETE) {
        sim_store_force(store, now, NULL);
        return;
    }
    if (request->condition == STORE_IF_ABSENT)
        holds = !object->exists || ((store->lies & SIM_RACY_CREATE) && dice % 2 == 0);
    else
        holds = (object->exists && object->etag == request->etag) ||
                (store->lies & SIM_IGNORES_IF_MATCH);
    if (!holds) {
        /* Stores differ: some answer 412 to If-Match where there is nothing. */
        answer->outcome = request->condition == STORE_IF_MATCH && !object->exists && dice % 2
                              ? STORE_ABSENT
                              : STORE_MISMATCH;
        return;
    }
    sim_store_force(store, now, &request->record);
    answer->etag = store->now.etag;
}

void sim_store_force(struct sim_store *store, uint64_t now, const struct record *record)
{
    store->before = store->now;
    store->now.exists = record != NULL;
    if (record == NULL)
        return;
    store->now.record = *record;
    store->now.etag = content_etag(record);
    store->now.written = now + (uint64_t)store->clock_offset;
}

/* FNV-1a over what a body would say. */
static uint64_t content_etag(const struct record *record)
{
    uint64_t words[6] = {(uint64_t)record->kind << 1 | (record->held != 0),
                         record->token,
                         record->rev,
                         (uint64_t)record->timestamp,
                         0,
                         0};
    uint64_t hash = 14695981039346656037u;

    memcpy(&words[4], record->lease_id, RECORD_LEASE_ID_SIZE);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        hash = (hash ^ words[i]) * 1099511628211u ^ hash >> 29;
    return hash | 1;
}
