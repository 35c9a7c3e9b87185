/*
 *   a stream:  READY --somebody needs a part that is not there--> MAKING --a few parts more-->
 * READY
 *                                                                        --the last one--> WHOLE
 *                                                                        --an error--> FAILED
 *
 * What it takes to make a stream (connection, page-version log, compressor) belongs to the thread
 * that moved it to MAKING, and is let go of when it is WHOLE or FAILED. Parts never change once
 * they are there. All else is the mutex's.
 */
#include "origin/stream_cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "origin/memory_budget.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/page/difference.h"
#include "protocol/page/spool.h"
#include "protocol/sync/history.h"
#include "protocol/sync/local_copy.h"
#include "protocol/sync/page_scan.h"
#include "protocol/sync/sender.h"

#define ID_SIZE 32
/* So many bytes are made before those who wait are told. */
#define BATCH (8 * LIMIT_CHUNK)
/* Of the memory of all, what the parts of one stream may take. */
#define MEMORY_SHARE 8
/* What making a stream takes beside its parts: zstd (compress.h), SQLite, old pages. */
#define MAKING_BYTES      (24u << 20)
#define MAKING_BYTES_HIGH (100u << 20)
#define LEVEL_HIGH        10

enum stream_state { READY, MAKING, WHOLE, FAILED };

/* Some whole frames. */
struct part {
    uint8_t *data; /* owned; NULL: in the file */
    uint64_t at;   /* there */
    uint32_t len;
};

struct stream {
    struct stream *next;
    uint8_t id[ID_SIZE];
    enum stream_state state;
    unsigned users;
    uint64_t used; /* when it was last opened or closed */
    struct stream_reader *waiting;
    struct part *parts; /* owned */
    size_t count;
    size_t cap;
    uint64_t in_memory;   /* bytes of parts */
    uint64_t spool_share; /* bytes that the file may come to have, or has */
    struct error failure;

    struct stream_options options; /* path is owned */
    struct page_scan *scan;
    uint32_t pages;
    int has_begun; /* copy is open */
    struct local_copy copy;
    struct history *history;
    struct sender *sender; /* NULL once it is WHOLE or FAILED */
    local_copy_prove *prove;
    void *prove_arg;

    pthread_mutex_t file_mutex; /* over spool */
    struct spool *spool;        /* NULL: all parts are in memory */
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

static uint64_t making_bytes(int level)
{
    return level < LEVEL_HIGH ? MAKING_BYTES : MAKING_BYTES_HIGH;
}

int stream_cache_take_memory(struct stream_cache *cache, int level, struct error *error)
{
    return memory_budget_take(cache->budget, making_bytes(level),
                              "reading and compressing the pages of a pull", error);
}

void stream_cache_give_memory(struct stream_cache *cache, int level)
{
    memory_budget_give(cache->budget, making_bytes(level));
}

/* Let go of what making it took. */
static void stop_making(struct stream_cache *cache, struct stream *stream)
{
    if (stream->sender == NULL)
        return;
    sender_free(stream->sender);
    history_free(stream->history);
    if (stream->has_begun)
        local_copy_release(&stream->copy);
    page_scan_free(stream->scan);
    stream->sender = NULL;
    stream->history = NULL;
    stream->scan = NULL;
    stream->has_begun = 0;
    stream_cache_give_memory(cache, stream->options.level);
}

/* One that is in no list. */
static void free_stream(struct stream_cache *cache, struct stream *stream)
{
    assert(stream->users == 0 && stream->waiting == NULL);
    stop_making(cache, stream);
    for (size_t i = 0; i < stream->count; i++)
        free(stream->parts[i].data);
    memory_budget_give(cache->budget, stream->in_memory);
    spool_free(stream->spool);
    pthread_mutex_destroy(&stream->file_mutex);
    free(stream->parts);
    free((char *)stream->options.path);
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

static void hash_u32(EVP_MD_CTX *context, uint32_t value)
{
    const uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                              (uint8_t)value};

    EVP_DigestUpdate(context, bytes, sizeof(bytes));
}

/* The name of the stream: all that its bytes depend on. */
static int name_stream(uint8_t id[ID_SIZE], const struct sender *sender,
                       const struct local_copy *copy, const struct stream_options *options,
                       struct error *error)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    struct sender_difference difference;
    int done;

    if (context == NULL || !EVP_DigestInit_ex(context, EVP_sha256(), NULL)) {
        EVP_MD_CTX_free(context);
        return error_set(error, ERR_INTERNAL, "out of memory");
    }
    sender_found(sender, &difference);
    EVP_DigestUpdate(context, copy->hash_key, HASH_KEY_SIZE);
    EVP_DigestUpdate(context, copy->geometry.root, ROOT_SIZE);
    EVP_DigestUpdate(context, options->path, strlen(options->path) + 1);
    hash_u32(context, (uint32_t)options->level);
    hash_u32(context, options->build_on_nothing != 0);
    hash_u32(context, difference.common);
    hash_u32(context, (uint32_t)difference.count);
    for (size_t i = 0; i < difference.count; i++) {
        hash_u32(context, difference.pages[i].pgno);
        EVP_DigestUpdate(context, &difference.pages[i].their_hash,
                         sizeof(difference.pages[i].their_hash));
    }
    hash_u32(context, difference.beyond_count);
    if (difference.beyond_count > 0)
        EVP_DigestUpdate(context, difference.beyond,
                         difference.beyond_count * sizeof(*difference.beyond));
    done = EVP_DigestFinal_ex(context, id, NULL);
    EVP_MD_CTX_free(context);
    return done ? 0 : error_set(error, ERR_INTERNAL, "SHA-256 failed");
}

/* Under the mutex. */
static struct stream *find(struct stream_cache *cache, const uint8_t id[ID_SIZE])
{
    struct stream *stream;

    for (stream = cache->streams; stream != NULL; stream = stream->next) {
        if (stream->state != FAILED && memcmp(stream->id, id, ID_SIZE) == 0)
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
    return (uint64_t)difference->total * (page_size + 64) + BATCH;
}

static struct stream *make_stream(const uint8_t id[ID_SIZE],
                                  const struct sender_difference *difference,
                                  const struct local_copy *copy,
                                  const struct stream_options *options)
{
    struct stream *stream = calloc(1, sizeof(*stream));

    if (stream == NULL || (stream->options.path = strdup(options->path)) == NULL) {
        free(stream);
        return NULL;
    }
    memcpy(stream->id, id, ID_SIZE);
    pthread_mutex_init(&stream->file_mutex, NULL);
    stream->options.timeout_ms = options->timeout_ms;
    stream->options.level = options->level;
    stream->options.has_history = options->has_history;
    stream->options.history_bytes = options->history_bytes;
    stream->scan = page_scan_keep(copy->borrowed);
    stream->prove = copy->prove;
    stream->prove_arg = copy->prove_arg;
    stream->pages = difference->total;
    stream->spool_share = worst_case(difference, copy->geometry.page_size);
    return stream;
}

/* Take those that nobody reads and that hold what the database is no more, or, where all is set,
 * any, out of the list. Under the mutex. */
static struct stream *take_idle(struct stream_cache *cache, const char *path, int all)
{
    struct stream *taken = NULL;
    struct stream **spot = &cache->streams;

    while (*spot != NULL) {
        struct stream *stream = *spot;

        if (stream->users > 0 || (!all && strcmp(stream->options.path, path) != 0)) {
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
    *stream = find(cache, new->id);
    if (*stream == NULL) {
        idle = take_idle(cache, new->options.path,
                         cache->spool_shares + new->spool_share > cache->spool_max);
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
    struct sender_difference difference;
    struct stream *stream, *new;
    uint8_t id[ID_SIZE];
    int rc = name_stream(id, *sender, copy, options, error);

    if (rc != 0)
        return rc;
    pthread_mutex_lock(&cache->mutex);
    stream = find(cache, id);
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
    sender_found(*sender, &difference);
    new = make_stream(id, &difference, copy, options);
    if (new == NULL) {
        stream_cache_give_memory(cache, options->level);
        return error_set(error, ERR_INTERNAL, "out of memory");
    }
    /* Before others see it: who finds it may be the one that makes it. */
    new->sender = *sender;
    stream = new;
    add_stream(cache, &stream, reader);
    if (stream == NULL)
        new->sender = NULL;
    else
        *sender = NULL;
    if (stream != new) {
        page_scan_free(new->scan);
        new->scan = NULL;
        if (new->sender == NULL)
            stream_cache_give_memory(cache, options->level);
        free_stream(cache, new);
    }
    return 0;
}

/* ---- making ---- */

/* For the sender: a page that the replica still has. */
static int find_old_page(void *arg, uint32_t pgno, uint64_t hash_low,
                         const struct page_version *now, uint8_t *page, int *known,
                         struct error *error)
{
    struct stream *stream = arg;

    (void)error;
    *known = history_find(stream->history, pgno, hash_low, now, stream->copy.geometry.page_size,
                          page);
    return 0;
}

/* Open what is needed. */
static int begin_making(struct stream *stream, struct error *error)
{
    const struct old_pages old = {stream->options.has_history ? find_old_page : NULL, stream, 1};
    const struct sidecar_state nothing = {0};
    int rc =
        local_copy_name(&stream->copy, stream->options.path, stream->options.timeout_ms, error);

    if (rc != 0)
        return rc;
    stream->has_begun = 1;
    rc = local_copy_connect(&stream->copy, error);
    if (rc != 0)
        return rc;
    local_copy_borrow(&stream->copy, stream->scan, &nothing, stream->prove, stream->prove_arg);
    if (stream->options.has_history)
        rc = history_open(&stream->history, stream->copy.real_path, stream->options.history_bytes,
                      error);
    return rc != 0 ? rc : sender_begin(stream->sender, &stream->copy, &old, error);
}

/* Whether the bytes may stay in memory; then they are counted. */
static int fits_memory(struct stream_cache *cache, const struct stream *stream, size_t len)
{
    struct error ignored;

    return stream->in_memory + len <= memory_budget_max(cache->budget) / MEMORY_SHARE &&
           memory_budget_take(cache->budget, len, "a stream", &ignored) == 0;
}

static int write_to_file(struct stream *stream, const struct buffer *bytes, uint64_t *at,
                         struct error *error)
{
    int rc = 0;

    pthread_mutex_lock(&stream->file_mutex);
    if (stream->spool == NULL)
        rc = spool_new(&stream->spool, stream->copy.real_path, NULL, LIMIT_SPOOL, error);
    if (rc == 0) {
        *at = spool_size(stream->spool);
        rc = spool_append(stream->spool, bytes->data, bytes->len, error);
    }
    pthread_mutex_unlock(&stream->file_mutex);
    return rc;
}

/* Put what is in bytes, which is empty afterwards, behind the other parts. */
static int add_part(struct stream_cache *cache, struct stream *stream, struct buffer *bytes,
                    struct error *error)
{
    struct part part = {.len = (uint32_t)bytes->len};
    struct part *grown;
    size_t cap = stream->count < stream->cap ? stream->cap
                 : stream->cap == 0          ? 64
                                             : 2 * stream->cap;
    int rc = 0;

    if (fits_memory(cache, stream, bytes->len)) {
        part.data = malloc(bytes->len);
        if (part.data != NULL)
            memcpy(part.data, bytes->data, bytes->len);
        else
            memory_budget_give(cache->budget, bytes->len);
    }
    if (part.data == NULL)
        rc = write_to_file(stream, bytes, &part.at, error);
    bytes->len = 0;
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&cache->mutex);
    if (part.data != NULL)
        stream->in_memory += part.len;
    grown = cap == stream->cap ? stream->parts : realloc(stream->parts, cap * sizeof(*grown));
    if (grown != NULL) {
        stream->parts = grown;
        stream->cap = cap;
        stream->parts[stream->count++] = part;
    }
    pthread_mutex_unlock(&cache->mutex);
    if (grown != NULL)
        return 0;
    free(part.data);
    return error_set(error, ERR_INTERNAL, "out of memory");
}

/* Make parts until there is a batch of them, or the end is reached. The stream is MAKING. */
static int make_parts(struct stream_cache *cache, struct stream *stream, int *ended,
                      struct error *error)
{
    struct buffer bytes;
    uint64_t made = 0;
    int rc = stream->has_begun ? 0 : begin_making(stream, error);

    *ended = 0;
    buffer_init(&bytes, 4 * LIMIT_FRAME);
    while (rc == 0 && made < BATCH) {
        rc = sender_speak(stream->sender, &bytes, error);
        /* The last thing that it says is END, alone, which each session says for itself. */
        *ended = rc == 0 && sender_status(stream->sender) == PARTY_DONE;
        if (rc != 0 || *ended)
            break;
        made += bytes.len;
        if (bytes.len > 0)
            rc = add_part(cache, stream, &bytes, error);
    }
    buffer_release(&bytes);
    return rc;
}

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
    uint64_t in_file;
    int ended = 0;
    int rc;

    stream->state = MAKING;
    pthread_mutex_unlock(&cache->mutex);
    rc = make_parts(cache, stream, &ended, &error);
    if (rc != 0 || ended)
        stop_making(cache, stream);
    pthread_mutex_lock(&cache->mutex);
    stream->state = rc != 0 ? FAILED : ended ? WHOLE : READY;
    if (rc != 0)
        stream->failure = error;
    if (ended) {
        in_file = stream->spool != NULL ? spool_size(stream->spool) : 0;
        cache->spool_shares -= stream->spool_share - in_file;
        stream->spool_share = in_file;
    }
    ring_for_all(cache, stream);
}

/* ---- reading ---- */

static int append_part(struct stream *stream, const struct part *part, struct buffer *out,
                       struct error *error)
{
    uint8_t *spot;
    size_t len = 0;
    int rc;

    if (part->data != NULL)
        return buffer_append(out, part->data, part->len, error);
    rc = buffer_reserve(out, part->len, &spot, error);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&stream->file_mutex);
    spool_seek(stream->spool, part->at);
    rc = spool_read(stream->spool, spot, part->len, &len, error);
    pthread_mutex_unlock(&stream->file_mutex);
    if (rc == 0 && len != part->len)
        rc = error_set(error, ERR_IO, "the file that a stream waits in ends too early");
    if (rc == 0)
        out->len += len;
    return rc;
}

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
    struct part part = {0};
    int rc = 0;

    pthread_mutex_lock(&cache->mutex);
    if (reader->part == stream->count && stream->state == READY)
        make(cache, stream);
    if (reader->part < stream->count) {
        part = stream->parts[reader->part++];
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
    return rc == 0 && part.len > 0 ? append_part(stream, &part, out, error) : rc;
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
