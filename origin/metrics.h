/*
 * metrics: what a daemon counts, and how Prometheus is told: its text format, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/).
 *
 * Any thread may call any of these; one mutex guards it all, held for a few comparisons of names.
 * Every function but metrics_render takes NULL for the metrics, and then does nothing: a session
 * over stdio has none. The number of databases and of replicas that are told of is bounded, because
 * their names come from outside: where one more comes, the one that was heard of least recently is
 * forgotten.
 */
#ifndef LOCKSTEP_ORIGIN_METRICS_H
#define LOCKSTEP_ORIGIN_METRICS_H

#include <stdint.h>

#include "origin/scan_cache.h"
#include "origin/stream_cache.h"

struct buffer;
struct error;
struct loop_watch_stats;
struct metrics;

/* What crossed: the payload of the page stream, what describes a copy's pages, and all the rest. */
enum metrics_kind { METRICS_PAGES, METRICS_SKETCH, METRICS_OTHER, METRICS_KINDS };
enum metrics_direction { METRICS_SENT, METRICS_RECEIVED, METRICS_DIRECTIONS };

/* What is waited for. */
enum metrics_queue { METRICS_QUEUE_PUSH, METRICS_QUEUE_RUN, METRICS_QUEUES };

/* What a replica asked for, whose outcome is counted. */
enum metrics_deed { METRICS_PULL, METRICS_PUSH, METRICS_VERIFY, METRICS_DEEDS };

/* What is known elsewhere when the metrics are asked for. */
struct metrics_now {
    int is_healthy;
    struct scan_cache_stats scans; /* of all databases */
    struct stream_cache_stats streams;
    uint64_t memory_used;          /* bytes of what the sessions share */
    uint64_t memory_max;
};

/* NULL: memory ran out. */
struct metrics *metrics_new(void);
void metrics_free(struct metrics *metrics);

/* A connection was taken; one ended with this code of error.h. */
void metrics_connection_opened(struct metrics *metrics);
void metrics_connection_closed(struct metrics *metrics, int code);

void metrics_bytes(struct metrics *metrics, enum metrics_direction direction,
                   enum metrics_kind kind, uint64_t bytes);

/* The content of the database has this version, as far as is known now; 0 is passed over. */
void metrics_version(struct metrics *metrics, const char *database, uint64_t version);

/* The replica that calls itself so (instance.h) holds content of this version; 0 is passed over,
 * and so is one without a name. */
void metrics_replica_holds(struct metrics *metrics, const char *database, const char *instance,
                           uint64_t version);

/* A pull, push or verification ended; code: ERR_NONE, or why it was refused or broke. */
void metrics_deed(struct metrics *metrics, const char *database, enum metrics_deed deed, int code);

/* The highest token that the database's fence has seen; holder: who came with it, NULL where that
 * is not known. An older one is passed over; so is 0. */
void metrics_fence(struct metrics *metrics, const char *database, uint64_t token,
                   const char *holder);

/* What the lock in the store said: state is "held", "released", "stale", "foreign" or "absent". */
void metrics_lease(struct metrics *metrics, const char *database, const char *state, uint64_t token,
                   const char *holder);

/* One more waits, or one less. */
void metrics_waits(struct metrics *metrics, const char *database, enum metrics_queue queue,
                   int change);

/* How long the turns of the event loop took so far (loop_watch.h). */
void metrics_loop(struct metrics *metrics, const struct loop_watch_stats *turns);

/* Append all of it to out. ERR_INTERNAL: out is full, or memory ran out. */
int metrics_render(struct metrics *metrics, const struct metrics_now *now, struct buffer *out,
                   struct error *error);

#endif
