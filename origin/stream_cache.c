/*
 *   a stream:  READY --somebody needs a part that is not there--> MAKING --a few more--> READY
 *                                                                        --the last--> WHOLE
 *                                                                        --an error--> FAILED
 *
 * The maker of a stream belongs to the thread that moved it to MAKING, and goes when it is WHOLE or
 * FAILED. Its parts are there for all (stream_parts.h). All else is the mutex's.
 */
#include "origin/stream_cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "origin/memory_budget.h"
#include "origin/stream_maker.h"
#include "origin/stream_name.h"
#include "origin/stream_parts.h"
#include "protocol/base/error.h"
#include "protocol/page/difference.h"
#include "protocol/sync/local_copy.h"
#include "protocol/sync/sender.h"

enum stream_state { READY, MAKING, WHOLE, FAILED };

struct stream {
    struct stream *next;
    uint8_t name[STREAM_NAME_SIZE];
    char *path; /* of the database */
    int level;
    uint32_t pages;
    enum stream_state state;
    unsigned users;
    uint64_t used; /* when it was last opened or closed */
    struct stream_reader *waiting;
    struct stream_parts *parts;
    struct stream_maker *maker; /* NULL once it is WHOLE or FAILED */
    uint64_t spool_share;       /* bytes that the file may come to have, or has */
    struct error failure;
};

struct stream_cache {
    struct bell *bell;
    struct memory_budget *budget;
    uint64_t spool_max;
    pthread_mutex_t mutex;
    struct stream *streams;
    uint64_t spool_shares; /* of all streams together */
    struct stream_cache_stats stats;
};

/* ---- memory ---- */

int stream_cache_take_memory(struct stream_cache *cache, int level, struct error *error)
{
    return memory_budget_take(cache->budget, stream_maker_bytes(level),
                              "reading and compressing the pages of a pull", error);
}

void stream_cache_give_memory(struct stream_cache *cache, int level)
{
    memory_budget_give(cache->budget, stream_maker_bytes(level));
}

/* Let go of what making it took. */
static void stop_making(struct stream_cache *cache, struct stream *stream)
{
    if (stream->maker == NULL)
        return;
    stream_maker_free(stream->maker);
    stream->maker = NULL;
    stream_cache_give_memory(cache, stream->level);
}

/* One that is in no list. */
static void free_stream(struct stream_cache *cache, struct stream *stream)
{
    assert(stream->users == 0 && stream->waiting == NULL);
    stop_making(cache, stream);
    stream_parts_free(stream->parts);
    free(stream->path);
    free(stream);
}

/* Take it out of the list. Under the mutex. */
static void unlink_stream(struct stream_cache *cache, struct stream *stream)
{
    struct stream **spot;

    for (spot = &cache->streams; *spot != stream; spot = &(*spot)->next)
        ;
    *spot = stream->next;
    cache->spool_shares -= stream->spool_share;
}

/* Under the mutex. */
static struct stream *find_oldest(const struct stream_cache *cache)
{
    struct stream *found = NULL;

    for (struct stream *stream = cache->streams; stream != NULL; stream = stream->next) {
        if (stream->users == 0 && (found == NULL || stream->used < found->used))
            found = stream;
    }
    return found;
}

static uint64_t oldest(void *arg)
{
    struct stream_cache *cache = arg;
    const struct stream *stream;
    uint64_t used;

    pthread_mutex_lock(&cache->mutex);
    stream = find_oldest(cache);
    used = stream != NULL ? stream->used : UINT64_MAX;
    pthread_mutex_unlock(&cache->mutex);
    return used;
}

static int drop(void *arg)
{
    struct stream_cache *cache = arg;
    struct stream *stream;

    pthread_mutex_lock(&cache->mutex);
    stream = find_oldest(cache);
    if (stream != NULL)
        unlink_stream(cache, stream);
    pthread_mutex_unlock(&cache->mutex);
    if (stream != NULL)
        free_stream(cache, stream);
    return stream != NULL;
}

struct stream_cache *stream_cache_new(struct bell *bell, struct memory_budget *budget,
                                      uint64_t spool_max)
{
    struct stream_cache *cache = calloc(1, sizeof(*cache));

    if (cache == NULL)
        return NULL;
    cache->bell = bell;
    cache->budget = budget;
    cache->spool_max = spool_max;
    pthread_mutex_init(&cache->mutex, NULL);
    memory_budget_add_holder(budget, oldest, drop, cache);
    return cache;
}

void stream_cache_free(struct stream_cache *cache)
{
    if (cache == NULL)
        return;
    while (drop(cache))
        ;
    assert(cache->streams == NULL);
    pthread_mutex_destroy(&cache->mutex);
    free(cache);
}

/* ---- opening ---- */

/* Under the mutex. */
static struct stream *find(struct stream_cache *cache, const uint8_t name[STREAM_NAME_SIZE])
{
    struct stream *stream;

    for (stream = cache->streams; stream != NULL; stream = stream->next) {
        if (stream->state != FAILED && memcmp(stream->name, name, STREAM_NAME_SIZE) == 0)
            break;
    }
    return stream;
}

static void join(struct stream_cache *cache, struct stream *stream, struct stream_reader *reader)
{
    stream->users++;
    stream->used = memory_budget_now(cache->budget);
    reader->stream = stream;
    reader->part = 0;
    reader->next = NULL;
}

/* The most that the file of a stream can come to: nothing is smaller packed, and each page has a
 * little about it. */
static uint64_t worst_case(const struct sender_difference *difference, uint32_t page_size)
{
    return (uint64_t)difference->total * (page_size + 64) + STREAM_BATCH;
}

/* A stream that the sender, which it takes, is to make; the memory for that was taken. NULL: memory
 * ran out, and the sender and what was taken are the caller's. */
static struct stream *make_stream(struct stream_cache *cache, const uint8_t name[STREAM_NAME_SIZE],
                                  struct sender *sender, const struct local_copy *copy,
                                  const struct stream_options *options)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    struct stream_options own = *options;
    struct sender_difference difference;

    if (stream == NULL)
        return NULL;
    sender_found(sender, &difference);
    memcpy(stream->name, name, STREAM_NAME_SIZE);
    stream->level = options->level;
    stream->pages = difference.total;
    stream->spool_share = worst_case(&difference, copy->geometry.page_size);
    stream->path = strdup(options->path);
    own.path = stream->path;
    if (stream->path != NULL)
        stream->parts = stream_parts_new(cache->budget, copy->real_path);
    if (stream->parts != NULL)
        stream->maker = stream_maker_new(sender, copy, &own);
    if (stream->maker != NULL)
        return stream;
    free_stream(cache, stream);
    return NULL;
}

/* Take those that nobody reads and that hold what the database is no more, or, where all is set,
 * any, out of the list. Under the mutex. */
static struct stream *take_idle(struct stream_cache *cache, const char *path, int all)
{
    struct stream *taken = NULL;
    struct stream **spot = &cache->streams;

    while (*spot != NULL) {
        struct stream *stream = *spot;

        if (stream->users > 0 || (!all && strcmp(stream->path, path) != 0)) {
            spot = &stream->next;
            continue;
        }
        unlink_stream(cache, stream);
        stream->next = taken;
        taken = stream;
    }
    return taken;
}

static void free_list(struct stream_cache *cache, struct stream *stream)
{
    while (stream != NULL) {
        struct stream *next = stream->next;
        free_stream(cache, stream);
        stream = next;
    }
}

/* Put the new stream into the list, unless one like it has come meanwhile, which *stream is then,
 * or there is no room: NULL. */
static void add_stream(struct stream_cache *cache, struct stream **stream,
                       struct stream_reader *reader)
{
    struct stream *new = *stream;
    struct stream *idle = NULL;

    pthread_mutex_lock(&cache->mutex);
    *stream = find(cache, new->name);
    if (*stream == NULL) {
        idle =
            take_idle(cache, new->path, cache->spool_shares + new->spool_share > cache->spool_max);
        if (cache->spool_shares + new->spool_share <= cache->spool_max) {
            *stream = new;
            new->next = cache->streams;
            cache->streams = new;
            cache->spool_shares += new->spool_share;
            cache->stats.made++;
        }
    } else {
        cache->stats.shared++;
    }
    if (*stream != NULL)
        join(cache, *stream, reader);
    pthread_mutex_unlock(&cache->mutex);
    free_list(cache, idle);
}

int stream_open(struct stream_cache *cache, struct stream_reader *reader, struct sender **sender,
                const struct local_copy *copy, const struct stream_options *options,
                struct error *error)
{
    struct stream *stream, *new;
    uint8_t name[STREAM_NAME_SIZE];
    int rc = stream_name(name, *sender, copy, options, error);

    if (rc != 0)
        return rc;
    pthread_mutex_lock(&cache->mutex);
    stream = find(cache, name);
    if (stream != NULL) {
        join(cache, stream, reader);
        cache->stats.shared++;
    }
    pthread_mutex_unlock(&cache->mutex);
    if (stream != NULL) {
        sender_free(*sender);
        *sender = NULL;
        return 0;
    }
    rc = stream_cache_take_memory(cache, options->level, error);
    if (rc != 0)
        return rc;
    new = make_stream(cache, name, *sender, copy, options);
    if (new == NULL) {
        stream_cache_give_memory(cache, options->level);
        return error_set(error, ERR_INTERNAL, "out of memory");
    }
    stream = new;
    add_stream(cache, &stream, reader);
    *sender = stream == NULL ? stream_maker_detach(new->maker) : NULL;
    if (stream != new)
        free_stream(cache, new);
    return 0;
}

/* ---- making ---- */

/* Have those who wait read on. Under the mutex. */
static void ring_for_all(struct stream_cache *cache, struct stream *stream)
{
    while (stream->waiting != NULL) {
        struct stream_reader *reader = stream->waiting;
        stream->waiting = reader->next;
        reader->next = NULL;
        bell_ring(cache->bell, &reader->ticket);
    }
}

/* Go on making, while others wait. Under the mutex, which is free meanwhile. */
static void make(struct stream_cache *cache, struct stream *stream)
{
    struct error error = {0};
    uint64_t in_file = 0;
    int ended = 0;
    int rc;

    stream->state = MAKING;
    pthread_mutex_unlock(&cache->mutex);
    rc = stream_maker_make(stream->maker, stream->parts, &ended, &error);
    if (ended)
        in_file = stream_parts_in_file(stream->parts);
    if (rc != 0 || ended)
        stop_making(cache, stream);
    pthread_mutex_lock(&cache->mutex);
    stream->state = rc != 0 ? FAILED : ended ? WHOLE : READY;
    if (rc != 0)
        stream->failure = error;
    if (ended) {
        cache->spool_shares -= stream->spool_share - in_file;
        stream->spool_share = in_file;
    }
    ring_for_all(cache, stream);
}

/* ---- reading ---- */

static void wait_in_line(struct stream *stream, struct stream_reader *reader)
{
    const struct stream_reader *other;

    for (other = stream->waiting; other != NULL && other != reader; other = other->next)
        ;
    if (other == reader)
        return;
    reader->next = stream->waiting;
    stream->waiting = reader;
}

int stream_read(struct stream_cache *cache, struct stream_reader *reader,
                enum stream_status *status, struct buffer *out, struct error *error)
{
    struct stream *stream = reader->stream;
    int has_part;
    int rc = 0;

    pthread_mutex_lock(&cache->mutex);
    if (reader->part == stream_parts_count(stream->parts) && stream->state == READY)
        make(cache, stream);
    has_part = reader->part < stream_parts_count(stream->parts);
    if (has_part) {
        *status = STREAM_GOES_ON;
    } else if (stream->state == FAILED) {
        *error = stream->failure;
        rc = error->code;
    } else if (stream->state == WHOLE) {
        *status = STREAM_ENDS;
    } else {
        wait_in_line(stream, reader);
        *status = STREAM_WAITS;
    }
    pthread_mutex_unlock(&cache->mutex);
    return has_part ? stream_parts_read(stream->parts, reader->part++, out, error) : rc;
}

uint32_t stream_pages(const struct stream_reader *reader)
{
    return reader->stream->pages;
}

void stream_leave(struct stream_cache *cache, struct stream_reader *reader)
{
    struct stream_reader **spot;

    pthread_mutex_lock(&cache->mutex);
    if (reader->stream != NULL) {
        for (spot = &reader->stream->waiting; *spot != NULL && *spot != reader;
             spot = &(*spot)->next)
            ;
        if (*spot != NULL)
            *spot = reader->next;
    }
    pthread_mutex_unlock(&cache->mutex);
    bell_silence(cache->bell, &reader->ticket);
}

void stream_close(struct stream_cache *cache, struct stream_reader *reader)
{
    struct stream *stream = reader->stream;
    int is_useless;

    if (stream == NULL)
        return;
    reader->stream = NULL;
    pthread_mutex_lock(&cache->mutex);
    stream->used = memory_budget_now(cache->budget);
    /* Nobody reads it, and it holds a snapshot, or nothing: it goes at once. */
    is_useless = --stream->users == 0 && stream->state != WHOLE;
    if (is_useless)
        unlink_stream(cache, stream);
    pthread_mutex_unlock(&cache->mutex);
    if (is_useless)
        free_stream(cache, stream);
}

void stream_cache_read(struct stream_cache *cache, struct stream_cache_stats *stats)
{
    pthread_mutex_lock(&cache->mutex);
    *stats = cache->stats;
    stats->spool_bytes = cache->spool_shares;
    pthread_mutex_unlock(&cache->mutex);
}
