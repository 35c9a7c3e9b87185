#include "origin/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "origin/metrics_state.h"
#include "protocol/base/clock.h"
#include "protocol/base/error.h"
#include "protocol/base/instance.h"

struct metrics *metrics_new(void)
{
    struct metrics *metrics = calloc(1, sizeof(*metrics));

    if (metrics == NULL)
        return NULL;
    uv_mutex_init(&metrics->mutex);
    metrics->started = clock_wall_seconds();
    return metrics;
}

void metrics_free(struct metrics *metrics)
{
    if (metrics == NULL)
        return;
    for (unsigned i = 0; i < metrics->database_count; i++)
        free(metrics->databases[i]);
    for (unsigned i = 0; i < metrics->replica_count; i++)
        free(metrics->replicas[i]);
    uv_mutex_destroy(&metrics->mutex);
    free(metrics);
}

/* ---- finding, and forgetting ---- */

static void copy_name(char out[METRICS_NAME_SIZE], const char *name)
{
    snprintf(out, METRICS_NAME_SIZE, "%s", name != NULL ? name : "");
}

static void forget_replicas(struct metrics *metrics, const struct metrics_database *database)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < metrics->replica_count; i++) {
        if (metrics->replicas[i]->database == database)
            free(metrics->replicas[i]);
        else
            metrics->replicas[kept++] = metrics->replicas[i];
    }
    metrics->replica_count = kept;
}

static int is_waited_for(const struct metrics_database *database)
{
    return database->waiting[METRICS_QUEUE_PUSH] > 0 || database->waiting[METRICS_QUEUE_RUN] > 0;
}

/* Where a new database's place is: behind the others, or instead of the one that was used least
 * recently. One whose queue is not empty stays as long as there is another. */
static struct metrics_database **place_for_database(struct metrics *metrics)
{
    struct metrics_database **oldest = &metrics->databases[0];

    if (metrics->database_count < LIMIT_METRICS_DATABASES)
        return &metrics->databases[metrics->database_count++];
    for (unsigned i = 1; i < metrics->database_count; i++) {
        struct metrics_database **other = &metrics->databases[i];

        if (is_waited_for(*other) < is_waited_for(*oldest) ||
            (is_waited_for(*other) == is_waited_for(*oldest) && (*other)->used < (*oldest)->used))
            oldest = other;
    }
    forget_replicas(metrics, *oldest);
    free(*oldest);
    return oldest;
}

/* The database by this name, made if it is new. NULL: memory ran out. */
static struct metrics_database *find_database(struct metrics *metrics, const char *name)
{
    struct metrics_database *database = NULL;

    for (unsigned i = 0; i < metrics->database_count && database == NULL; i++) {
        if (strcmp(metrics->databases[i]->name, name) == 0)
            database = metrics->databases[i];
    }
    if (database == NULL) {
        database = calloc(1, sizeof(*database));
        if (database == NULL)
            return NULL;
        copy_name(database->name, name);
        *place_for_database(metrics) = database;
    }
    database->used = ++metrics->calls;
    return database;
}

static struct metrics_replica **place_for_replica(struct metrics *metrics)
{
    struct metrics_replica **oldest = &metrics->replicas[0];

    if (metrics->replica_count < LIMIT_METRICS_REPLICAS)
        return &metrics->replicas[metrics->replica_count++];
    for (unsigned i = 1; i < metrics->replica_count; i++) {
        if (metrics->replicas[i]->used < (*oldest)->used)
            oldest = &metrics->replicas[i];
    }
    free(*oldest);
    return oldest;
}

static struct metrics_replica *
find_replica(struct metrics *metrics, const struct metrics_database *database, const char *instance)
{
    struct metrics_replica *replica;

    for (unsigned i = 0; i < metrics->replica_count; i++) {
        replica = metrics->replicas[i];
        if (replica->database == database && strcmp(replica->instance, instance) == 0)
            return replica;
    }
    replica = calloc(1, sizeof(*replica));
    if (replica == NULL)
        return NULL;
    copy_name(replica->instance, instance);
    instance_region(instance, replica->region, sizeof(replica->region));
    replica->database = database;
    *place_for_replica(metrics) = replica;
    return replica;
}

/* ---- counting ---- */

/* Take the mutex and find the database; NULL, and no mutex, where there is nothing to count in. */
static struct metrics_database *enter(struct metrics *metrics, const char *name)
{
    struct metrics_database *database;

    if (metrics == NULL || name == NULL)
        return NULL;
    uv_mutex_lock(&metrics->mutex);
    database = find_database(metrics, name);
    if (database == NULL)
        uv_mutex_unlock(&metrics->mutex);
    return database;
}

static void leave(struct metrics *metrics)
{
    uv_mutex_unlock(&metrics->mutex);
}

void metrics_connection_opened(struct metrics *metrics)
{
    if (metrics == NULL)
        return;
    uv_mutex_lock(&metrics->mutex);
    metrics->opened++;
    leave(metrics);
}

void metrics_connection_closed(struct metrics *metrics, int code)
{
    if (metrics == NULL)
        return;
    uv_mutex_lock(&metrics->mutex);
    metrics->closed[code >= 0 && code < ERR_COUNT ? code : ERR_INTERNAL]++;
    leave(metrics);
}

void metrics_bytes(struct metrics *metrics, enum metrics_direction direction,
                   enum metrics_kind kind, uint64_t bytes)
{
    if (metrics == NULL || bytes == 0)
        return;
    uv_mutex_lock(&metrics->mutex);
    metrics->bytes[direction][kind] += bytes;
    leave(metrics);
}

void metrics_version(struct metrics *metrics, const char *name, uint64_t version)
{
    struct metrics_database *database = version > 0 ? enter(metrics, name) : NULL;

    if (database == NULL)
        return;
    database->version = version;
    leave(metrics);
}

void metrics_replica_holds(struct metrics *metrics, const char *name, const char *instance,
                           uint64_t version)
{
    int is_named = instance != NULL && instance[0] != '\0';
    struct metrics_database *database = is_named && version > 0 ? enter(metrics, name) : NULL;
    struct metrics_replica *replica;

    if (database == NULL)
        return;
    replica = find_replica(metrics, database, instance);
    if (replica != NULL) {
        replica->version = version;
        replica->seen = clock_wall_seconds();
        replica->used = metrics->calls;
    }
    leave(metrics);
}

void metrics_deed(struct metrics *metrics, const char *name, enum metrics_deed deed, int code)
{
    struct metrics_database *database = enter(metrics, name);

    if (database == NULL)
        return;
    database->deeds[deed][code >= 0 && code < ERR_COUNT ? code : ERR_INTERNAL]++;
    leave(metrics);
}

void metrics_fence(struct metrics *metrics, const char *name, uint64_t token, const char *holder)
{
    struct metrics_database *database = token > 0 ? enter(metrics, name) : NULL;

    if (database == NULL)
        return;
    if (token > database->fence_token)
        copy_name(database->fence_holder, NULL);
    if (token >= database->fence_token) {
        database->fence_token = token;
        if (holder != NULL)
            copy_name(database->fence_holder, holder);
    }
    leave(metrics);
}

void metrics_lease(struct metrics *metrics, const char *name, const char *state, uint64_t token,
                   const char *holder)
{
    struct metrics_database *database = enter(metrics, name);

    if (database == NULL)
        return;
    snprintf(database->lease_state, sizeof(database->lease_state), "%s", state);
    database->lease_token = token;
    copy_name(database->lease_holder, holder);
    leave(metrics);
}

void metrics_waits(struct metrics *metrics, const char *name, enum metrics_queue queue, int change)
{
    struct metrics_database *database = enter(metrics, name);

    if (database == NULL)
        return;
    /* It may have been forgotten in between. */
    if (change > 0 || database->waiting[queue] > 0)
        database->waiting[queue] += change > 0 ? 1u : -1u;
    leave(metrics);
}

void metrics_loop(struct metrics *metrics, const struct loop_watch_stats *turns)
{
    uv_mutex_lock(&metrics->mutex);
    metrics->loop = *turns;
    leave(metrics);
}
