#include "origin/stream_parts.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "origin/memory_budget.h"
#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/page/spool.h"

/* Of the memory of all, what the parts of one stream may take. */
#define MEMORY_SHARE 8

struct part {
    uint8_t *data; /* owned; NULL: in the file */
    uint64_t at;   /* there */
    uint32_t len;
};

struct stream_parts {
    struct memory_budget *budget;
    char *path;
    uint64_t in_memory; /* bytes of parts; of the thread that adds */

    pthread_mutex_t mutex; /* over the list */
    struct part *parts;    /* owned */
    size_t count;
    size_t cap;

    pthread_mutex_t
        file_mutex;      /* over spool, so that nobody who looks at the list waits for the disk */
    struct spool *spool; /* NULL: all parts are in memory */
};

struct stream_parts *stream_parts_new(struct memory_budget *budget, const char *path)
{
    struct stream_parts *parts = calloc(1, sizeof(*parts));

    if (parts == NULL || (parts->path = strdup(path)) == NULL) {
        free(parts);
        return NULL;
    }
    parts->budget = budget;
    pthread_mutex_init(&parts->mutex, NULL);
    pthread_mutex_init(&parts->file_mutex, NULL);
    return parts;
}

void stream_parts_free(struct stream_parts *parts)
{
    if (parts == NULL)
        return;
    for (size_t i = 0; i < parts->count; i++)
        free(parts->parts[i].data);
    memory_budget_give(parts->budget, parts->in_memory);
    spool_free(parts->spool);
    pthread_mutex_destroy(&parts->file_mutex);
    pthread_mutex_destroy(&parts->mutex);
    free(parts->parts);
    free(parts->path);
    free(parts);
}

/* ---- adding ---- */

/* A copy of the bytes in memory that is counted; NULL where there is no room for it. */
static uint8_t *keep_in_memory(struct stream_parts *parts, const struct buffer *bytes)
{
    struct error ignored;
    uint8_t *data;

    if (parts->in_memory + bytes->len > memory_budget_max(parts->budget) / MEMORY_SHARE ||
        memory_budget_take(parts->budget, bytes->len, "a stream", &ignored) != 0)
        return NULL;
    data = malloc(bytes->len);
    if (data == NULL) {
        memory_budget_give(parts->budget, bytes->len);
        return NULL;
    }
    memcpy(data, bytes->data, bytes->len);
    parts->in_memory += bytes->len;
    return data;
}

static int write_to_file(struct stream_parts *parts, const struct buffer *bytes, uint64_t *at,
                         struct error *error)
{
    int rc = 0;

    pthread_mutex_lock(&parts->file_mutex);
    if (parts->spool == NULL)
        rc = spool_new(&parts->spool, parts->path, NULL, LIMIT_SPOOL, error);
    if (rc == 0) {
        *at = spool_size(parts->spool);
        rc = spool_append(parts->spool, bytes->data, bytes->len, error);
    }
    pthread_mutex_unlock(&parts->file_mutex);
    return rc;
}

/* Put it into the list, and say whether there was memory for that. */
static int list(struct stream_parts *parts, const struct part *part)
{
    struct part *grown = parts->parts;
    size_t cap = parts->cap;

    pthread_mutex_lock(&parts->mutex);
    if (parts->count == cap) {
        cap = cap == 0 ? 64 : 2 * cap;
        grown = realloc(parts->parts, cap * sizeof(*grown));
    }
    if (grown != NULL) {
        parts->parts = grown;
        parts->cap = cap;
        parts->parts[parts->count++] = *part;
    }
    pthread_mutex_unlock(&parts->mutex);
    return grown != NULL;
}

int stream_parts_add(struct stream_parts *parts, const struct buffer *bytes, struct error *error)
{
    struct part part = {.data = keep_in_memory(parts, bytes), .len = (uint32_t)bytes->len};
    int rc = part.data != NULL ? 0 : write_to_file(parts, bytes, &part.at, error);

    if (rc != 0 || list(parts, &part))
        return rc;
    if (part.data != NULL) {
        parts->in_memory -= part.len;
        memory_budget_give(parts->budget, part.len);
        free(part.data);
    }
    return error_set(error, ERR_INTERNAL, "out of memory");
}

/* ---- reading ---- */

size_t stream_parts_count(struct stream_parts *parts)
{
    size_t count;

    pthread_mutex_lock(&parts->mutex);
    count = parts->count;
    pthread_mutex_unlock(&parts->mutex);
    return count;
}

int stream_parts_read(struct stream_parts *parts, size_t number, struct buffer *out,
                      struct error *error)
{
    struct part part;
    uint8_t *spot;
    size_t len = 0;
    int rc;

    pthread_mutex_lock(&parts->mutex);
    part = parts->parts[number];
    pthread_mutex_unlock(&parts->mutex);
    if (part.data != NULL)
        return buffer_append(out, part.data, part.len, error);
    rc = buffer_reserve(out, part.len, &spot, error);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&parts->file_mutex);
    spool_seek(parts->spool, part.at);
    rc = spool_read(parts->spool, spot, part.len, &len, error);
    pthread_mutex_unlock(&parts->file_mutex);
    if (rc == 0 && len != part.len)
        rc = error_set(error, ERR_IO, "the file that a stream waits in ends too early");
    if (rc == 0)
        out->len += len;
    return rc;
}

uint64_t stream_parts_in_file(struct stream_parts *parts)
{
    uint64_t size;

    pthread_mutex_lock(&parts->file_mutex);
    size = parts->spool != NULL ? spool_size(parts->spool) : 0;
    pthread_mutex_unlock(&parts->file_mutex);
    return size;
}
