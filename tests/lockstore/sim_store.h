/*
 * sim_store: an object store of one object for the simulation: conditional writes, ETags that are a
 * hash of the content, a clock of whole seconds. It can be told to lie, as some stores do.
 */
#ifndef LOCKSTEP_TESTS_SIM_STORE_H
#define LOCKSTEP_TESTS_SIM_STORE_H

#include <stdint.h>

#include "lockstore/record.h"
#include "lockstore/store.h"

/* Lies, to be combined. */
enum {
    SIM_IGNORES_IF_MATCH = 1, /* as GCS's S3 interface does */
    SIM_RACY_CREATE = 2,      /* a create succeeds though the object exists */
    SIM_STALE_READS = 4       /* a read may give the content before the last */
};

struct sim_object {
    int exists;
    struct record record;
    uint64_t etag;
    uint64_t written; /* when, in simulated milliseconds */
};

struct sim_store {
    struct sim_object now, before;
    int64_t clock_offset; /* of the store's clock */
    unsigned lies;
};

struct sim_request {
    enum { SIM_GET, SIM_PUT, SIM_DELETE } kind;
    enum store_condition condition;
    uint64_t etag;
    struct record record;
};

struct sim_answer {
    enum store_outcome outcome;
    uint64_t etag;
    struct record record;
    int64_t age_ms;
    uint32_t retry_after_ms;
};

/* Do what the request says, at time now. dice: some random bits, for the lies. */
void sim_store_apply(struct sim_store *store, uint64_t now, const struct sim_request *request,
                     uint64_t dice, struct sim_answer *answer);

/* Somebody without manners: the object becomes this, or is gone (NULL). */
void sim_store_force(struct sim_store *store, uint64_t now, const struct record *record);

#endif
