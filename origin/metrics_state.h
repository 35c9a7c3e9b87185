/* metrics_state: what metrics.c counts and metrics_render.c tells. Nobody else includes this. */
#ifndef LOCKSTEP_ORIGIN_METRICS_STATE_H
#define LOCKSTEP_ORIGIN_METRICS_STATE_H

#include <stdint.h>

#include <uv.h>

#include "origin/loop_watch.h"
#include "origin/metrics.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"

#define METRICS_NAME_SIZE 129

/* A replica of one database. */
struct metrics_replica {
    char instance[METRICS_NAME_SIZE];
    char region[METRICS_NAME_SIZE];
    const struct metrics_database *database;
    uint64_t version; /* that it is known to hold */
    int64_t seen;     /* when that was learned, seconds since 1970 */
    uint64_t used;    /* the number of the call that was last about it */
};

struct metrics_database {
    char name[METRICS_NAME_SIZE];
    uint64_t used;
    uint64_t version; /* 0: not known */
    uint64_t deeds[METRICS_DEEDS][ERR_COUNT];
    uint64_t fence_token; /* 0: none */
    char fence_holder[METRICS_NAME_SIZE];
    char lease_state[16]; /* "": the store was not asked */
    uint64_t lease_token;
    char lease_holder[METRICS_NAME_SIZE];
    uint32_t waiting[METRICS_QUEUES];
};

/* Guarded, and all that it leads to, by the mutex. */
struct metrics {
    uv_mutex_t mutex;
    uint64_t calls;
    int64_t started;              /* seconds since 1970 */
    struct loop_watch_stats loop; /* turns is 0: not known */
    uint64_t opened;
    uint64_t closed[ERR_COUNT];
    uint64_t bytes[METRICS_DIRECTIONS][METRICS_KINDS];
    struct metrics_database *databases[LIMIT_METRICS_DATABASES];
    unsigned database_count;
    struct metrics_replica *replicas[LIMIT_METRICS_REPLICAS];
    unsigned replica_count;
};

#endif
